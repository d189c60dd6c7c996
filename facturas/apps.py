from coordination import service


class FacturasConfig(service.ServiceConfig):
    name = "facturas"
    verbose_name = "Facturas: bills and invoices"
