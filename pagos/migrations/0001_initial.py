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
                'constraints': [models.UniqueConstraint(fields=('saga_id', 'step', 'direction'), name='pagos_barrier_once')],
            },
        ),
        migrations.CreateModel(
            name='CreditAccount',
            fields=[
                ('user_id', models.CharField(db_collation='C', max_length=64, primary_key=True, serialize=False)),
                ('initial', models.DecimalField(decimal_places=2, max_digits=14)),
                ('balance', models.DecimalField(decimal_places=2, max_digits=14)),
                ('spent', models.DecimalField(db_default=0, decimal_places=2, default=0, max_digits=14)),
                ('refunded', models.DecimalField(db_default=0, decimal_places=2, default=0, max_digits=14)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('initial', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('balance'), '+', models.F('spent')), '-', models.F('refunded')))), name='credits_add_up'), models.CheckConstraint(condition=models.Q(('initial__range', (0, Decimal('999999999999.99')))), name='credits_initial_is_money'), models.CheckConstraint(condition=models.Q(('balance__range', (0, Decimal('999999999999.99')))), name='credits_balance_is_money'), models.CheckConstraint(condition=models.Q(('spent__range', (0, Decimal('999999999999.99')))), name='credits_spent_is_money'), models.CheckConstraint(condition=models.Q(('refunded__range', (0, Decimal('999999999999.99')))), name='credits_refunded_is_money')],
            },
        ),
        migrations.CreateModel(
            name='Decision',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('saga_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('step', participant.models.TextId(db_collation='C', max_length=64)),
                ('saga', participant.models.TextId(blank=True, db_collation='C', db_default='', default='', max_length=64)),
                ('action', participant.models.TextId(db_collation='C', max_length=64)),
                ('decided_by', models.CharField(max_length=32)),
                ('opened_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('until', models.DateTimeField()),
                ('command', models.JSONField()),
                ('cause', models.TextField(blank=True, db_default='', default='')),
                ('verdict', models.CharField(blank=True, db_default='', default='', max_length=9)),
                ('by', models.CharField(blank=True, db_default='', default='', max_length=150)),
                ('reason', models.TextField(blank=True, db_default='', default='')),
                ('data', models.JSONField(db_default={}, default=dict)),
                ('decided_at', models.DateTimeField(null=True)),
                ('closed_at', models.DateTimeField(null=True)),
                ('is_to_be_told', models.BooleanField(db_default=False, default=False)),
            ],
            options={
                'abstract': False,
                'indexes': [models.Index(condition=models.Q(('closed_at', None)), fields=['until'], name='pagos_decision_due'), models.Index(condition=models.Q(('closed_at', None), ('verdict', '')), fields=['id'], name='pagos_decision_open'), models.Index(condition=models.Q(('closed_at__isnull', False), ('is_to_be_told', True)), fields=['closed_at'], name='pagos_decision_untold')],
                'constraints': [models.UniqueConstraint(fields=('saga_id', 'step'), name='pagos_decision_once_a_step'), models.CheckConstraint(condition=models.Q(('verdict__in', ['', 'yes', 'no', 'overdue', 'withdrawn'])), name='pagos_decision_verdict_known')],
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
                'indexes': [models.Index(condition=models.Q(('next_attempt_at', None), ('sent_at', None)), fields=['id'], name='pagos_to_send'), models.Index(condition=models.Q(('next_attempt_at__isnull', False), ('sent_at', None)), fields=['next_attempt_at'], name='pagos_postponed')],
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
                'indexes': [models.Index(condition=models.Q(('status', 'retrying')), fields=['next_attempt_at'], name='pagos_due'), models.Index(condition=models.Q(('status__in', ['retrying', 'dead_lettered'])), fields=['saga_id'], name='pagos_failed')],
            },
        ),
        migrations.CreateModel(
            name='Payment',
            fields=[
                ('id', models.CharField(db_collation='C', max_length=64, primary_key=True, serialize=False)),
                ('saga_id', participant.models.TextId(blank=True, db_collation='C', max_length=64, null=True)),
                ('step', participant.models.TextId(db_collation='C', db_default='', default='', max_length=64)),
                ('subject', participant.models.TextId(db_collation='C', db_default='', default='', max_length=64)),
                ('merchant_id', models.CharField(db_default='', default='', max_length=64)),
                ('order_id', models.CharField(db_default='', default='', max_length=64)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=14)),
                ('payment_method', models.CharField(max_length=64)),
                ('user_id', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('captured', 'Captured'), ('refunded', 'Refunded'), ('refused', 'Refused'), ('cancelled', 'Cancelled')], max_length=9)),
                ('taken_by', participant.models.TextId(blank=True, db_collation='C', db_default='', default='', max_length=64)),
                ('ask_at', models.DateTimeField(blank=True, null=True)),
                ('times_asked', models.PositiveIntegerField(db_default=0, default=0)),
                ('code', models.CharField(db_default='', default='', max_length=64)),
                ('detail', models.TextField(db_default='', default='')),
                ('idempotency_key', models.CharField(blank=True, max_length=255, null=True)),
                ('fingerprint', models.CharField(db_default='', default='', max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('subject', ''), _negated=True), fields=['subject'], name='payment_of_subject'), models.Index(fields=['created_at', 'id'], name='payment_newest'), models.Index(condition=models.Q(('ask_at__isnull', False)), fields=['ask_at'], name='payment_to_ask')],
                'constraints': [models.UniqueConstraint(fields=('saga_id', 'step'), name='payment_once_a_step'), models.UniqueConstraint(fields=('merchant_id', 'idempotency_key'), name='payment_once_a_key'), models.CheckConstraint(condition=models.Q(('status__in', ['refused', 'cancelled']), ('amount__gt', 0), models.Q(('amount', 0), ('saga_id__isnull', False)), _connector='OR'), name='payment_amount_positive'), models.CheckConstraint(condition=models.Q(('amount__lte', Decimal('999999999999.99'))), name='payment_amount_is_money'), models.CheckConstraint(condition=models.Q(models.Q(('code__gt', ''), ('status', 'refused')), models.Q(models.Q(('status', 'refused'), _negated=True), ('code', '')), _connector='OR'), name='payment_refused_with_code')],
            },
        ),
        migrations.CreateModel(
            name='CreditMovement',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('granted', 'Granted'), ('spent', 'Spent'), ('refunded', 'Refunded')], max_length=8)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=14)),
                ('saga_id', participant.models.TextId(blank=True, db_collation='C', max_length=64, null=True)),
                ('step', participant.models.TextId(blank=True, db_collation='C', db_default='', default='', max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='movements', to='pagos.creditaccount')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('saga_id', 'step', 'kind'), name='credit_movement_once_a_kind'), models.CheckConstraint(condition=models.Q(('amount__gt', 0), ('amount__lte', Decimal('999999999999.99'))), name='credit_movement_is_money')],
            },
        ),
        migrations.CreateModel(
            name='Refund',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('saga_id', participant.models.TextId(blank=True, db_collation='C', max_length=64, null=True)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=14)),
                ('reason', models.CharField(blank=True, db_default='', default='', max_length=200)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('payment', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='pagos.payment')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('payment',), name='refund_once_a_payment'), models.CheckConstraint(condition=models.Q(('amount__range', (0, Decimal('999999999999.99')))), name='refund_amount_is_money')],
            },
        ),
        migrations.AddField(
            model_name='payment',
            name='refund_to',
            field=models.CharField(blank=True, db_default='', default='', help_text='Where its money goes back to, if not to what it was paid with.', max_length=64),
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
