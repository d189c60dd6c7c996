from coordination import service


class HotelConfig(service.ServiceConfig):
    name = "hotel"
