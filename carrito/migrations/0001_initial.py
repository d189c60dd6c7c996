import contracts.states
import django.db.models.deletion
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
            name='Address',
            fields=[
                ('saga_id', participant.models.TextId(db_collation='C', max_length=64, primary_key=True, serialize=False)),
                ('address', models.JSONField()),
            ],
            options={
                'verbose_name_plural': 'addresses',
            },
        ),
        migrations.CreateModel(
            name='Cart',
            fields=[
                ('id', participant.models.TextId(db_collation='C', max_length=64, primary_key=True, serialize=False)),
                ('user_id', models.CharField(db_index=True, max_length=64)),
                ('status', models.CharField(choices=[('active', 'Active'), ('checking_out', 'Checking Out'), ('checked_out', 'Checked Out')], db_default='active', default='active', max_length=12)),
                ('version', models.PositiveIntegerField(db_default=1, default=1, help_text='Grows with every change of its items.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
        ),
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
                'constraints': [models.UniqueConstraint(fields=('saga_id', 'step', 'direction'), name='carrito_barrier_once')],
            },
        ),
        migrations.CreateModel(
            name='Checkout',
            fields=[
                ('saga_id', participant.models.TextId(db_collation='C', max_length=64, primary_key=True, serialize=False)),
                ('saga', participant.models.TextId(db_collation='C', help_text='The name of its definition in the catalogue.', max_length=64)),
                ('user_id', models.CharField(db_collation='C', help_text='Whose it is.', max_length=64)),
                ('saga_pattern', models.CharField(max_length=32)),
                ('context', models.JSONField(default=dict, help_text='The data for its steps.')),
                ('total_amount', models.DecimalField(blank=True, decimal_places=2, max_digits=14, null=True)),
                ('status', models.CharField(choices=[(contracts.states.SagaStatus['PENDING'], contracts.states.SagaStatus['PENDING']), (contracts.states.SagaStatus['RUNNING'], contracts.states.SagaStatus['RUNNING']), (contracts.states.SagaStatus['COMPLETED'], contracts.states.SagaStatus['COMPLETED']), (contracts.states.SagaStatus['COMPENSATING'], contracts.states.SagaStatus['COMPENSATING']), (contracts.states.SagaStatus['COMPENSATED'], contracts.states.SagaStatus['COMPENSATED']), (contracts.states.SagaStatus['FAILED'], contracts.states.SagaStatus['FAILED']), (contracts.states.SagaStatus['PARKED'], contracts.states.SagaStatus['PARKED'])], default=contracts.states.SagaStatus['PENDING'], max_length=12)),
                ('failure_step', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('failure_code', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('failure_detail', models.TextField(blank=True, db_default='', default='')),
                ('accepted_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('handed_over_at', models.DateTimeField(blank=True, null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('dead_lettered_at', models.DateTimeField(blank=True, null=True)),
                ('dead_letter_reason', models.TextField(blank=True, db_default='', default='')),
                ('cart_version', models.PositiveIntegerField()),
                ('items', models.JSONField(help_text='The lines as they were frozen.')),
                ('price_changes', models.JSONField(db_default=[], default=list, help_text='Products that had become cheaper since the cart showed them.')),
                ('cart', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='checkouts', to='carrito.cart')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('user_id', models.CharField(db_collation='C', max_length=64)),
                ('key', models.CharField(db_collation='C', max_length=255)),
                ('saga_id', participant.models.TextId(db_collation='C', db_index=True, max_length=64)),
                ('fingerprint', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'abstract': False,
                'constraints': [models.UniqueConstraint(fields=('user_id', 'key'), name='key_once_a_user')],
            },
        ),
        migrations.CreateModel(
            name='Order',
            fields=[
                ('id', participant.models.TextId(db_collation='C', max_length=64, primary_key=True, serialize=False)),
                ('cart_id', participant.models.TextId(db_collation='C', db_index=True, max_length=64)),
                ('user_id', models.CharField(max_length=64)),
                ('total_amount', models.DecimalField(decimal_places=2, max_digits=14)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('confirmed', 'Confirmed'), ('cancelled', 'Cancelled')], default='pending', max_length=9)),
                ('cancelled_because', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('confirmed_at', models.DateTimeField(blank=True, null=True)),
                ('cancelled_at', models.DateTimeField(blank=True, null=True)),
                ('checkout', models.OneToOneField(db_column='saga_id', on_delete=django.db.models.deletion.PROTECT, related_name='order', to='carrito.checkout')),
            ],
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
                'indexes': [models.Index(condition=models.Q(('next_attempt_at', None), ('sent_at', None)), fields=['id'], name='carrito_to_send'), models.Index(condition=models.Q(('next_attempt_at__isnull', False), ('sent_at', None)), fields=['next_attempt_at'], name='carrito_postponed')],
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
                'indexes': [models.Index(condition=models.Q(('status', 'retrying')), fields=['next_attempt_at'], name='carrito_due'), models.Index(condition=models.Q(('status__in', ['retrying', 'dead_lettered'])), fields=['saga_id'], name='carrito_failed')],
            },
        ),
        migrations.CreateModel(
            name='CartItem',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('product_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('quantity', models.PositiveIntegerField()),
                ('unit_price', models.DecimalField(decimal_places=2, max_digits=12)),
                ('previous_price', models.DecimalField(blank=True, decimal_places=2, help_text='The price before a refused checkout changed it; empty once one is accepted.', max_digits=12, null=True)),
                ('cart', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='items', to='carrito.cart')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('cart', 'product_id'), name='cart_item_once_a_product'), models.CheckConstraint(condition=models.Q(('quantity__gt', 0)), name='cart_item_quantity_positive'), models.CheckConstraint(condition=models.Q(('unit_price__range', (0, Decimal('9999999999.99')))), name='cart_item_price_is_money'), models.CheckConstraint(condition=models.Q(('previous_price__range', (0, Decimal('9999999999.99')))), name='cart_item_previous_price_is_money')],
            },
        ),
        migrations.AddIndex(
            model_name='checkout',
            index=models.Index(condition=models.Q(('handed_over_at', None)), fields=['accepted_at'], name='checkout_not_handed_over'),
        ),
        migrations.AddIndex(
            model_name='checkout',
            index=models.Index(condition=models.Q(('dead_lettered_at__isnull', False)), fields=['dead_lettered_at', 'saga_id'], name='checkout_dead_letter'),
        ),
        migrations.AddIndex(
            model_name='checkout',
            index=models.Index(condition=models.Q(('closed_at', None)), fields=['accepted_at', 'saga_id'], name='checkout_not_closed'),
        ),
        migrations.AddIndex(
            model_name='checkout',
            index=models.Index(condition=models.Q(('ended_at', None)), fields=['user_id'], name='checkout_under_way'),
        ),
        migrations.AddIndex(
            model_name='cart',
            index=models.Index(fields=['created_at', 'id'], name='cart_newest'),
        ),
        migrations.AddIndex(
            model_name='checkout',
            index=models.Index(fields=['accepted_at', 'saga_id'], name='checkout_newest'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(fields=['created_at', 'id'], name='checkout_order_newest'),
        ),
        migrations.AddConstraint(
            model_name='checkout',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at', None), ('status', 'completed'), _connector='OR'), fields=('cart',), name='checkout_once_a_cart'),
        ),
        migrations.AddConstraint(
            model_name='checkout',
            constraint=models.CheckConstraint(condition=models.Q(('total_amount__range', (0, Decimal('999999999999.99')))), name='checkout_total_is_money'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('total_amount__range', (0, Decimal('999999999999.99')))), name='order_total_is_money'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'confirmed'), _negated=True), ('confirmed_at__isnull', False), _connector='OR'), name='order_confirmed_has_time'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'cancelled'), _negated=True), ('cancelled_at__isnull', False), _connector='OR'), name='order_cancelled_has_time'),
        ),
        migrations.CreateModel(
            name='Pause',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('saga', participant.models.TextId(db_collation='C', max_length=64)),
                ('saga_pattern', models.CharField(blank=True, db_default='', default='', max_length=32)),
                ('paused_by', models.CharField(max_length=150)),
                ('reason', models.TextField()),
                ('paused_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('resumed_by', models.CharField(blank=True, db_default='', default='', max_length=150)),
                ('resume_reason', models.TextField(blank=True, db_default='', default='')),
                ('resumed_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'abstract': False,
                'constraints': [models.UniqueConstraint(condition=models.Q(('resumed_at', None)), fields=('saga', 'saga_pattern'), name='carrito_paused_once')],
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
