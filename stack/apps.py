from django.apps import AppConfig


class StackConfig(AppConfig):
    name = "stack"
    label = "stack"
    verbose_name = "Local stack"
