import contracts.states
import django.contrib.postgres.constraints
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
                'constraints': [models.UniqueConstraint(fields=('saga_id', 'step', 'direction'), name='reservas_barrier_once')],
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
                'indexes': [models.Index(condition=models.Q(('closed_at', None)), fields=['until'], name='reservas_decision_due'), models.Index(condition=models.Q(('closed_at', None), ('verdict', '')), fields=['id'], name='reservas_decision_open'), models.Index(condition=models.Q(('closed_at__isnull', False), ('is_to_be_told', True)), fields=['closed_at'], name='reservas_decision_untold')],
                'constraints': [models.UniqueConstraint(fields=('saga_id', 'step'), name='reservas_decision_once_a_step'), models.CheckConstraint(condition=models.Q(('verdict__in', ['', 'yes', 'no', 'overdue', 'withdrawn'])), name='reservas_decision_verdict_known')],
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
                'constraints': [models.UniqueConstraint(fields=('user_id', 'key'), name='booking_key_once_a_user')],
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
                'indexes': [models.Index(condition=models.Q(('next_attempt_at', None), ('sent_at', None)), fields=['id'], name='reservas_to_send'), models.Index(condition=models.Q(('next_attempt_at__isnull', False), ('sent_at', None)), fields=['next_attempt_at'], name='reservas_postponed')],
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
                'indexes': [models.Index(condition=models.Q(('status', 'retrying')), fields=['next_attempt_at'], name='reservas_due'), models.Index(condition=models.Q(('status__in', ['retrying', 'dead_lettered'])), fields=['saga_id'], name='reservas_failed')],
            },
        ),
        migrations.CreateModel(
            name='Slot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('price_per_hour', models.DecimalField(decimal_places=2, max_digits=9)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('price_per_hour__range', (0, Decimal('1000000.00')))), name='slot_price_is_money')],
            },
        ),
        migrations.CreateModel(
            name='Booking',
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
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('auto_approve', models.BooleanField(default=False)),
                ('booking_status', models.CharField(choices=[('pending', 'Pending'), ('approved', 'Approved'), ('reserved', 'Reserved'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='pending', max_length=9)),
                ('approved_by', models.CharField(blank=True, db_default='', default='', max_length=150)),
                ('approved_at', models.DateTimeField(blank=True, null=True)),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True)),
                ('slot', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='bookings', to='reservas.slot')),
            ],
            options={
                'abstract': False,
                'indexes': [models.Index(condition=models.Q(('handed_over_at', None)), fields=['accepted_at'], name='booking_not_handed_over'), models.Index(condition=models.Q(('dead_lettered_at__isnull', False)), fields=['dead_lettered_at', 'saga_id'], name='booking_dead_letter'), models.Index(condition=models.Q(('closed_at', None)), fields=['accepted_at', 'saga_id'], name='booking_not_closed'), models.Index(condition=models.Q(('ended_at', None)), fields=['user_id'], name='booking_under_way'), models.Index(fields=['accepted_at', 'saga_id'], name='booking_newest')],
                'constraints': [models.CheckConstraint(condition=models.Q(('total_amount__range', (0, Decimal('999999999999.99')))), name='booking_price_is_money'), models.CheckConstraint(condition=models.Q(('starts_at__lt', models.F('ends_at'))), name='booking_ends_after_it_starts'), models.CheckConstraint(condition=models.Q(models.Q(('booking_status__in', ['pending', 'approved']), ('ended_at', None)), models.Q(models.Q(('booking_status__in', ['pending', 'approved']), _negated=True), ('ended_at__isnull', False)), _connector='OR'), name='booking_ended_has_time'), models.CheckConstraint(condition=models.Q(models.Q(('booking_status__in', ['approved', 'reserved']), _negated=True), ('approved_at__isnull', False), _connector='OR'), name='booking_approved_has_time'), django.contrib.postgres.constraints.ExclusionConstraint(condition=models.Q(('booking_status__in', ('pending', 'approved', 'reserved'))), expressions=[(models.Func(models.F('slot'), models.F('slot'), models.Value('[]'), function='int8range'), '&&'), (models.Func(models.F('starts_at'), models.F('ends_at'), function='tstzrange'), '&&')], name='booking_slot_once_at_a_time')],
            },
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
                'constraints': [models.UniqueConstraint(condition=models.Q(('resumed_at', None)), fields=('saga', 'saga_pattern'), name='reservas_paused_once')],
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
