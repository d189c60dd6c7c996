import django.db.models.deletion
import django.db.models.functions.datetime
import participant.models
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='SagaEvent',
            fields=[
                ('pk', models.CompositePrimaryKey('saga_id', 'event_type', blank=True, editable=False, primary_key=True, serialize=False)),
                ('saga_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('event_type', participant.models.TextId(db_collation='C', max_length=64)),
                ('event_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('cause_id', participant.models.TextId(db_collation='C', max_length=64)),
                ('requested_at', models.DateTimeField(null=True)),
                ('occurred_at', models.DateTimeField()),
                ('seen_at', models.DateTimeField()),
                ('data', models.JSONField(help_text='Its result or its failure, and the results of earlier steps.')),
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
                'indexes': [models.Index(condition=models.Q(('next_attempt_at', None), ('sent_at', None)), fields=['id'], name='saga_choreography_to_send'), models.Index(condition=models.Q(('next_attempt_at__isnull', False), ('sent_at', None)), fields=['next_attempt_at'], name='saga_choreography_postponed')],
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
                'indexes': [models.Index(condition=models.Q(('status', 'retrying')), fields=['next_attempt_at'], name='saga_choreography_due'), models.Index(condition=models.Q(('status__in', ['retrying', 'dead_lettered'])), fields=['saga_id'], name='saga_choreography_failed')],
            },
        ),
        migrations.CreateModel(
            name='Saga',
            fields=[
                ('saga_id', participant.models.TextId(db_collation='C', max_length=64, primary_key=True, serialize=False)),
                ('saga', participant.models.TextId(db_collation='C', max_length=64)),
                ('subject', participant.models.TextId(db_collation='C', max_length=64)),
                ('user_id', participant.models.TextId(blank=True, db_collation='C', db_default='', default='', max_length=64)),
                ('context', models.JSONField(help_text='The payload, as it was frozen at acceptance.')),
                ('status', models.CharField(choices=[('pending', 'pending'), ('running', 'running'), ('completed', 'completed'), ('compensating', 'compensating'), ('compensated', 'compensated'), ('failed', 'failed'), ('parked', 'parked')], max_length=12)),
                ('phase', models.PositiveSmallIntegerField(choices=[(0, 'running'), (1, 'compensating'), (2, 'completed'), (3, 'returning'), (4, 'ended')])),
                ('failure_step', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('failure_code', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('failure_detail', models.TextField(blank=True, db_default='', default='')),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('watch_at', models.DateTimeField(blank=True, help_text='When the watchdog checks it next; empty: never again.', null=True)),
                ('redrives', models.PositiveSmallIntegerField(db_default=0, default=0, help_text='Since it last moved.')),
                ('redriven_at', models.DateTimeField(blank=True, null=True)),
                ('stop_requested_at', models.DateTimeField(blank=True, help_text='When its undo was requested, while it ran.', null=True)),
                ('waiting_step', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('waiting_for', models.CharField(blank=True, db_default='', default='', max_length=32)),
                ('waiting_since', models.DateTimeField(blank=True, help_text='Since when its last waiting step has waited for a decision.', null=True)),
                ('waiting_until', models.DateTimeField(blank=True, null=True)),
                ('waited_seconds', models.FloatField(db_default=0.0, default=0.0, help_text='For earlier decisions; these do not count towards its deadline.')),
                ('parked_at', models.DateTimeField(blank=True, null=True)),
                ('parked_step', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('parked_reason', models.TextField(blank=True, db_default='', default='')),
            ],
            options={
                'indexes': [models.Index(fields=['started_at', 'saga_id'], name='choreography_newest'), models.Index(condition=models.Q(('watch_at__isnull', False)), fields=['watch_at'], name='choreography_watched'), models.Index(condition=models.Q(('status', 'parked')), fields=['saga_id'], name='choreography_parked')],
                'constraints': [models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'running', 'completed', 'compensating', 'compensated', 'failed', 'parked'])), name='choreography_status_known'), models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['completed', 'compensated', 'failed']), _negated=True), ('finished_at__isnull', False), _connector='OR'), name='choreography_ended_has_time'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'parked'), _negated=True), models.Q(('parked_at__isnull', False), models.Q(('parked_step', ''), _negated=True), models.Q(('parked_reason', ''), _negated=True)), _connector='OR'), name='choreography_parked_has_reason')],
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
                ('saga', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='interventions', to='saga_choreography.saga')),
            ],
            options={
                'ordering': ['id'],
                'abstract': False,
            },
        ),
        migrations.AddField(
            model_name='intervention',
            name='step',
            field=models.CharField(blank=True, db_default='', default='', help_text='The step at which the saga was parked.', max_length=64),
        ),
        # A service may add to this ledger, and take nothing from it: its rows go with their saga, once
        # that has ended, by the right of the tables' owner.
        migrations.RunSQL(
            [
                """
            CREATE FUNCTION saga_choreography_forget_interventions() RETURNS trigger
            LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
            BEGIN
                DELETE FROM saga_choreography_intervention AS asked USING gone
                WHERE asked.saga_id = gone.saga_id AND gone.finished_at IS NOT NULL;
                RETURN NULL;
            END $$
            """,
                """
            CREATE TRIGGER forget_interventions AFTER DELETE ON saga_choreography_saga
            REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
            EXECUTE FUNCTION saga_choreography_forget_interventions()
            """,
            ],
            "DROP FUNCTION saga_choreography_forget_interventions() CASCADE",
        ),
    ]
