from coordination import service


class PedidosConfig(service.OwnerConfig):
    name = "pedidos"
    verbose_name = "Pedidos: orders"
    below = "orders"
