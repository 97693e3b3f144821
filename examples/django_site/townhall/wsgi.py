"""The site as a WSGI application: `chaussette townhall.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "townhall.settings")

application = get_wsgi_application()
