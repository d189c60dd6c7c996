"""facturas: bills, and the invoices of paid bills.

Owns         bills, invoices and credit notes, the counter of invoice numbers
Offers       creating and failing a bill, issuing its invoice
Sagas        the steps that their definitions give it: manage.py sagas show
"""
