from coordination import service


class PedidosConfig(service.Owner):
    name = "pedidos"
    verbose_name = "Pedidos: orders"
