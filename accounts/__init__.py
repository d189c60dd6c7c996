"""accounts: the keys of people and services, people's tokens and their rights.

Owns         refresh tokens, the four groups of people
Offers       POST /token, POST /token/refresh, GET /.well-known/jwks.json: at the dashboard
"""
