"""The site as an ASGI application: `chaussette --backend uvicorn townhall.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "townhall.settings")

application = get_asgi_application()
