from django.apps import AppConfig


class TarjetasConfig(AppConfig):
    name = "tarjetas"
    verbose_name = "Tarjetas: the simulated card network"
