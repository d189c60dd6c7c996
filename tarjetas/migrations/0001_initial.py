import django.db.models.functions.datetime
import participant.models
from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Charge',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('key', participant.models.TextId(db_collation='C', max_length=255)),
                ('past', models.BigIntegerField(db_default=0, default=0)),
                ('saga_id', participant.models.TextId(blank=True, db_collation='C', db_default='', default='', max_length=64)),
                ('saga', participant.models.TextId(blank=True, db_collation='C', db_default='', default='', max_length=64)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=14)),
                ('payment_method', models.CharField(max_length=64)),
                ('fingerprint', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('status', models.CharField(choices=[('processing', 'Processing'), ('captured', 'Captured'), ('refused', 'Refused'), ('refunded', 'Refunded'), ('voided', 'Voided')], max_length=10)),
                ('code', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('detail', models.TextField(blank=True, db_default='', default='')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('answers_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('key_until', models.DateTimeField()),
                ('refunded_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('saga_id', ''), _negated=True), fields=['saga_id'], name='charge_of_saga')],
                'constraints': [models.UniqueConstraint(fields=('key', 'past'), name='charge_once_a_key'), models.CheckConstraint(condition=models.Q(('status__in', ['refused', 'voided']), ('amount__gt', 0), _connector='OR'), name='charge_amount_positive'), models.CheckConstraint(condition=models.Q(('amount__range', (0, Decimal('999999999999.99')))), name='charge_amount_is_money'), models.CheckConstraint(condition=models.Q(('status', 'voided'), models.Q(('code__gt', ''), ('status', 'refused')), models.Q(models.Q(('status', 'refused'), _negated=True), ('code', '')), _connector='OR'), name='charge_refused_with_code'), models.CheckConstraint(condition=models.Q(models.Q(('refunded_at__isnull', False), ('status', 'refunded')), models.Q(models.Q(('status', 'refunded'), _negated=True), ('refunded_at', None)), _connector='OR'), name='charge_refunded_at_a_time')],
            },
        ),
    ]
