"""Settings of the example site. Everything that differs between machines comes
from the environment; docs/deployment.md lists the variables.
"""

import os
from pathlib import Path

from townhall import environment as read

BASE_DIR = Path(__file__).resolve().parent.parent
# All that the site writes: database, uploads, collected static files, secret key.
VAR_DIR = Path(os.environ.get("TOWNHALL_VAR", BASE_DIR / "var")).resolve()
VAR_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = read.boolean(os.environ, "TOWNHALL_DEBUG")
SECRET_KEY = read.secret_key(os.environ.get("TOWNHALL_SECRET_KEY", ""), VAR_DIR / "secret_key")
ALLOWED_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    *read.words(os.environ, "TOWNHALL_ALLOWED_HOSTS"),
]

# --- behind a proxy --------------------------------------------------------
# Only when every request comes through a proxy that sets these headers itself
# (nginx.conf does): otherwise any client could choose its scheme and host.
CSRF_TRUSTED_ORIGINS = read.words(os.environ, "TOWNHALL_CSRF_TRUSTED_ORIGINS")
if read.boolean(os.environ, "TOWNHALL_BEHIND_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True

# Visitors use https (ended by this server or by the proxy): cookies never
# travel in clear, plain http is redirected, browsers remember.
if read.boolean(os.environ, "TOWNHALL_HTTPS"):
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
    SECURE_HSTS_SECONDS = 30 * 24 * 3600

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # `runserver` too lets WhiteNoise serve the static files.
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "events",
    "jobs",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "townhall.middleware.content_security_policy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "townhall.middleware.body_limit",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "townhall.urls"
WSGI_APPLICATION = "townhall.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": read.database(os.environ.get("DATABASE_URL", ""), VAR_DIR / "townhall.sqlite3")
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-gb"
USE_I18N = False
USE_TZ = True
TIME_ZONE = os.environ.get("TOWNHALL_TIME_ZONE", "Europe/Brussels")

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
# No session is opened for a visitor who only gets a notice after a form.
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
MEDIA_URL = "/media/"
MEDIA_ROOT = VAR_DIR / "media"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
FILE_UPLOAD_PERMISSIONS = 0o644

# The largest upload, and a little more for the rest of a form. nginx.conf has
# the same number as client_max_body_size.
POSTER_MAX_BYTES = 5 * 1024 * 1024
BODY_MAX_BYTES = 6 * 1024 * 1024

JOBS_WAKE_FIFO = VAR_DIR / "jobs.wake"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name} [{process}] {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "jobs": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}
