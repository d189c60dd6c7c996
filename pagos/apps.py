from coordination import service


class PagosConfig(service.Service):
    name = "pagos"
    verbose_name = "Pagos: payments and refunds"
