import django.db.models.deletion
import django.db.models.expressions
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
            name='WorkerHeartbeat',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('host', models.CharField(max_length=255)),
                ('pid', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('counters', models.JSONField(db_default={}, default=dict)),
                ('complaints', models.JSONField(db_default=[], default=list)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='BarrierEntry',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('saga_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('step', participant.models.TextId(db_collation='C', max_length=64)),
                ('saga', participant.models.TextId(blank=True, db_collation='C', db_default='', default='', max_length=64)),
                ('direction', models.CharField(choices=[('do', 'do'), ('undo', 'undo')], db_collation='C', max_length=4)),
                ('status', models.CharField(choices=[('done', 'Done'), ('refused', 'Refused'), ('waiting', 'Waiting')], max_length=8, null=True)),
                ('code', models.CharField(db_default='', default='', max_length=64)),
                ('detail', models.TextField(db_default='', default='')),
                ('data', models.JSONField(db_default={}, default=dict)),
                ('entered_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('decided_at', models.DateTimeField(null=True)),
            ],
            options={
                'verbose_name_plural': 'barrier entries',
                'abstract': False,
                'constraints': [models.UniqueConstraint(fields=('saga_id', 'step', 'direction'), name='inventario_barrier_once')],
            },
        ),
        migrations.CreateModel(
            name='OutboxEntry',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('event_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('event_type', participant.models.TextId(db_collation='C', max_length=64)),
                ('saga_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('body', models.TextField(help_text='The event as JSON, as it is sent.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('attempts', models.PositiveIntegerField(db_default=0, default=0)),
                ('next_attempt_at', models.DateTimeField(blank=True, null=True)),
                ('reason', models.TextField(blank=True, db_default='', default='')),
            ],
            options={
                'verbose_name_plural': 'outbox entries',
                'abstract': False,
                'indexes': [models.Index(condition=models.Q(('next_attempt_at', None), ('sent_at', None)), fields=['id'], name='inventario_to_send'), models.Index(condition=models.Q(('next_attempt_at__isnull', False), ('sent_at', None)), fields=['next_attempt_at'], name='inventario_postponed')],
            },
        ),
        migrations.CreateModel(
            name='FailedMessage',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('event_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('event_type', participant.models.TextId(db_collation='C', max_length=64)),
                ('saga_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('body', models.BinaryField()),
                ('status', models.CharField(choices=[('retrying', 'Retrying'), ('dead_lettered', 'Dead Lettered'), ('handled', 'Handled'), ('discarded', 'Discarded')], default='retrying', max_length=13)),
                ('attempts', models.PositiveIntegerField(default=1)),
                ('reason', models.TextField()),
                ('next_attempt_at', models.DateTimeField(blank=True, null=True)),
                ('failed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'abstract': False,
                'indexes': [models.Index(condition=models.Q(('status', 'retrying')), fields=['next_attempt_at'], name='inventario_due'), models.Index(condition=models.Q(('status__in', ['retrying', 'dead_lettered'])), fields=['saga_id'], name='inventario_failed')],
            },
        ),
        migrations.CreateModel(
            name='Product',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('description', models.TextField(blank=True, db_default='', default='')),
                ('price', models.DecimalField(decimal_places=2, max_digits=12)),
                ('category', models.CharField(blank=True, db_default='', default='', max_length=100)),
                ('sku', models.CharField(max_length=64, unique=True)),
                ('initial', models.BigIntegerField(help_text='All pieces that ever came in.')),
                ('available', models.BigIntegerField()),
                ('reserved', models.BigIntegerField(db_default=0, default=0)),
                ('sold', models.BigIntegerField(db_default=0, default=0)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('price__range', (0, Decimal('9999999999.99')))), name='product_price_is_money'), models.CheckConstraint(condition=models.Q(('available__gte', 0), ('reserved__gte', 0), ('sold__gte', 0)), name='product_stock_not_negative'), models.CheckConstraint(condition=models.Q(('initial', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('available'), '+', models.F('reserved')), '+', models.F('sold')))), name='product_stock_adds_up')],
            },
        ),
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('saga_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('step', participant.models.TextId(db_collation='C', max_length=64)),
                ('subject', participant.models.TextId(db_collation='C', db_index=True, max_length=64)),
                ('user_id', participant.models.TextId(blank=True, db_collation='C', db_default='', default='', max_length=64)),
                ('status', models.CharField(choices=[('reserved', 'Reserved'), ('released', 'Released'), ('expired', 'Expired'), ('committed', 'Committed'), ('restored', 'Restored')], default='reserved', max_length=9)),
                ('expires_at', models.DateTimeField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('status', 'reserved')), fields=['expires_at'], name='reservation_due'), models.Index(condition=models.Q(('status', 'reserved')), fields=['user_id'], name='reservation_of_user')],
                'constraints': [models.UniqueConstraint(fields=('saga_id', 'step'), name='reservation_once_a_step')],
            },
        ),
        migrations.CreateModel(
            name='ReservationLine',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('quantity', models.PositiveIntegerField()),
                ('product', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='inventario.product')),
                ('reservation', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='lines', to='inventario.reservation')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('reservation', 'product'), name='reservation_line_once_a_product'), models.CheckConstraint(condition=models.Q(('quantity__gt', 0)), name='reservation_line_quantity_positive')],
            },
        ),
        migrations.CreateModel(
            name='Intervention',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('action', models.CharField(max_length=32)),
                ('subject', models.CharField(blank=True, db_default='', default='', max_length=150)),
                ('detail', models.TextField(blank=True, db_default='', default='')),
                ('requested_by', models.CharField(max_length=150)),
                ('reason', models.TextField(blank=True, db_default='', default='')),
                ('requested_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('via', models.CharField(blank=True, db_default='', default='', max_length=16)),
                ('jti', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('trace_id', models.CharField(blank=True, db_default='', default='', max_length=32)),
            ],
            options={
                'ordering': ['id'],
                'abstract': False,
            },
        ),
    ]
