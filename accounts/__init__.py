"""accounts: who people and services are: their keys, people's tokens, and what people may.

Owns         refresh tokens, the four groups of people
Offers       POST /token, POST /token/refresh, GET /.well-known/jwks.json: at the dashboard
"""
