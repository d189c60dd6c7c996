from coordination import service


class PagosConfig(service.ServiceConfig):
    name = "pagos"
    verbose_name = "Pagos: payments and refunds"
