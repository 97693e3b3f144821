from __future__ import annotations

import datetime

from django import forms


class DigestForm(forms.Form):
    month = forms.CharField(
        widget=forms.TextInput(attrs={"type": "month"}), help_text="Year and month: 2026-01."
    )

    def clean_month(self) -> datetime.date:
        try:
            return datetime.datetime.strptime(self.cleaned_data["month"], "%Y-%m").date()
        except ValueError:
            raise forms.ValidationError("Write year and month like 2026-01.") from None
