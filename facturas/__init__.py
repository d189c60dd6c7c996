"""facturas: bills, and the invoices of those that were paid.

Owns         bills, invoices and credit notes, the counter of their numbers
Offers       create and fail a bill, issue its invoice
Sagas        whatever their pages ask of it: manage.py sagas show
"""
