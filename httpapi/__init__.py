"""Shared parts of HTTP: JSON, problem+json, step calls, waiting, health, the client."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["httpapi.json.JsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["httpapi.json.JsonRenderer"],
    "EXCEPTION_HANDLER": "httpapi.problems.handle",
    "UNAUTHENTICATED_USER": None,
}
"""The value of Django's setting of that name, for the views here."""
