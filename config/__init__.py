"""The Django project: settings, urls, which database is whose, and the WSGI entry."""
