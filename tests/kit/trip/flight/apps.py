from coordination import service


class FlightConfig(service.ServiceConfig):
    name = "flight"
