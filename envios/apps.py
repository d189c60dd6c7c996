from coordination import service


class EnviosConfig(service.ServiceConfig):
    name = "envios"
    verbose_name = "Envios: couriers and deliveries"
