from coordination import service


class EnviosConfig(service.Service):
    name = "envios"
    verbose_name = "Envios: couriers and deliveries"
