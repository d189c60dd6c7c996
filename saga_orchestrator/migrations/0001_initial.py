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
            name='Definition',
            fields=[
                ('digest', models.CharField(db_collation='C', max_length=64, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=64)),
                ('steps', models.JSONField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Runner',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('host', models.CharField(max_length=255)),
                ('pid', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'ordering': ['-seen_at'],
            },
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
                'indexes': [models.Index(condition=models.Q(('next_attempt_at', None), ('sent_at', None)), fields=['id'], name='saga_orchestrator_to_send'), models.Index(condition=models.Q(('next_attempt_at__isnull', False), ('sent_at', None)), fields=['next_attempt_at'], name='saga_orchestrator_postponed')],
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
                'indexes': [models.Index(condition=models.Q(('status', 'retrying')), fields=['next_attempt_at'], name='saga_orchestrator_due'), models.Index(condition=models.Q(('status__in', ['retrying', 'dead_lettered'])), fields=['saga_id'], name='saga_orchestrator_failed')],
            },
        ),
        migrations.CreateModel(
            name='Saga',
            fields=[
                ('saga_id', models.CharField(db_collation='C', max_length=64, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=64)),
                ('pattern', models.CharField(max_length=24)),
                ('subject', models.CharField(db_collation='C', max_length=64)),
                ('user_id', models.CharField(blank=True, db_collation='C', db_default='', default='', max_length=64)),
                ('context', models.JSONField(help_text='The payload, as it was frozen, and the results of its steps.')),
                ('status', models.CharField(choices=[('pending', 'pending'), ('running', 'running'), ('completed', 'completed'), ('compensating', 'compensating'), ('compensated', 'compensated'), ('failed', 'failed'), ('parked', 'parked')], max_length=12)),
                ('position', models.PositiveSmallIntegerField(db_default=1, default=1)),
                ('current_step', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('direction', models.CharField(choices=[('do', 'do'), ('undo', 'undo'), ('block', 'block')], db_default='do', max_length=5)),
                ('faults', models.PositiveIntegerField(db_default=0, default=0, help_text='Faults of the call that is due now, so far.')),
                ('reached', models.PositiveSmallIntegerField(db_default=0, default=0, help_text='The position of the last step that may have been called by now: a process that died may have gone further than it had written.')),
                ('version', models.PositiveIntegerField(db_default=0, default=0)),
                ('runner_id', models.BigIntegerField(blank=True, null=True)),
                ('next_attempt_at', models.DateTimeField(blank=True, db_default=django.db.models.functions.datetime.Now(), null=True)),
                ('asked_at', models.DateTimeField(blank=True, null=True)),
                ('deadline_at', models.DateTimeField()),
                ('stop_requested_at', models.DateTimeField(blank=True, null=True)),
                ('failure_step', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('failure_code', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('failure_detail', models.TextField(blank=True, db_default='', default='')),
                ('failure_undone', models.BooleanField(db_default=False, default=False, help_text='Whether any undo has had an effect.')),
                ('waiting_since', models.DateTimeField(blank=True, null=True)),
                ('waiting_until', models.DateTimeField(blank=True, help_text='When the decision that its step waits for is overdue.', null=True)),
                ('waiting_for', models.CharField(blank=True, db_default='', default='', max_length=32)),
                ('parked_at', models.DateTimeField(blank=True, null=True)),
                ('parked_reason', models.TextField(blank=True, db_default='', default='')),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('definition', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='sagas', to='saga_orchestrator.definition')),
            ],
            options={
                'ordering': ['-started_at', '-saga_id'],
            },
        ),
        migrations.CreateModel(
            name='Intervention',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('action', models.CharField(max_length=32)),
                ('subject', models.CharField(blank=True, db_default='', default='', max_length=150)),
                ('detail', models.TextField(blank=True, db_default='', default='')),
                ('step', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('requested_by', models.CharField(max_length=150)),
                ('reason', models.TextField(blank=True, db_default='', default='')),
                ('requested_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('via', models.CharField(blank=True, db_default='', default='', max_length=16)),
                ('jti', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('trace_id', models.CharField(blank=True, db_default='', default='', max_length=32)),
                ('saga', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='interventions', to='saga_orchestrator.saga')),
            ],
            options={
                'ordering': ['id'],
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='SagaStep',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('position', models.PositiveSmallIntegerField()),
                ('name', models.CharField(max_length=64)),
                ('status', models.CharField(choices=[('pending', 'pending'), ('running', 'running'), ('completed', 'completed'), ('failed', 'failed'), ('compensated', 'compensated'), ('skipped', 'skipped'), ('waiting', 'waiting')], max_length=12)),
                ('do_attempts', models.PositiveIntegerField(db_default=0, default=0)),
                ('undo_attempts', models.PositiveIntegerField(db_default=0, default=0)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('undone_at', models.DateTimeField(blank=True, null=True)),
                ('error', models.TextField(blank=True, db_default='', default='')),
                ('response_data', models.JSONField(blank=True, db_default={}, default=dict)),
                ('saga', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='saga_orchestrator.saga')),
            ],
            options={
                'ordering': ['position'],
            },
        ),
        migrations.AddIndex(
            model_name='saga',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='orchestrated_saga_due'),
        ),
        migrations.AddIndex(
            model_name='saga',
            index=models.Index(condition=models.Q(('parked_at__isnull', False)), fields=['parked_at'], name='orchestrated_saga_parked'),
        ),
        migrations.AddIndex(
            model_name='saga',
            index=models.Index(fields=['-started_at', '-saga_id'], name='orchestrated_saga_newest'),
        ),
        migrations.AddIndex(
            model_name='saga',
            index=models.Index(condition=models.Q(('finished_at', None)), fields=['-started_at', '-saga_id'], name='orchestrated_saga_open'),
        ),
        migrations.AddIndex(
            model_name='saga',
            index=models.Index(fields=['subject'], name='orchestrated_saga_subject'),
        ),
        migrations.AddConstraint(
            model_name='saga',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'running', 'completed', 'compensating', 'compensated', 'failed', 'parked'])), name='orchestrated_saga_status_known'),
        ),
        migrations.AddConstraint(
            model_name='saga',
            constraint=models.CheckConstraint(condition=models.Q(('finished_at', None), models.Q(('next_attempt_at', None), ('status__in', ['completed', 'compensated', 'failed'])), _connector='OR'), name='orchestrated_saga_finished_has_ended'),
        ),
        migrations.AddConstraint(
            model_name='saga',
            constraint=models.CheckConstraint(condition=models.Q(('parked_at', None), models.Q(('next_attempt_at', None), ('status', 'parked')), _connector='OR'), name='orchestrated_saga_parked_waits_for_a_person'),
        ),
        migrations.AddConstraint(
            model_name='sagastep',
            constraint=models.UniqueConstraint(fields=('saga', 'position'), name='orchestrated_step_once_a_position'),
        ),
        migrations.AddConstraint(
            model_name='sagastep',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'running', 'completed', 'failed', 'compensated', 'skipped', 'waiting'])), name='orchestrated_step_status_known'),
        ),
        # Its rows are updated at every step: room beside them keeps the new versions on their page.
        migrations.RunSQL(
            "ALTER TABLE saga_orchestrator_saga SET (fillfactor = 50)",
            "ALTER TABLE saga_orchestrator_saga RESET (fillfactor)",
        ),
        # Django adds it for LIKE; with the collation "C" the primary key serves for that.
        migrations.RunSQL(
            "DROP INDEX IF EXISTS saga_orchestrator_saga_saga_id_9dc89e0f_like",
            migrations.RunSQL.noop,
        ),
        # A service may add to this ledger, and take nothing from it: its rows go with their saga, once
        # that has ended, by the right of the tables' owner.
        migrations.RunSQL(
            [
                """
            CREATE FUNCTION saga_orchestrator_forget_interventions() RETURNS trigger
            LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
            BEGIN
                DELETE FROM saga_orchestrator_intervention AS asked USING gone
                WHERE asked.saga_id = gone.saga_id AND gone.finished_at IS NOT NULL;
                RETURN NULL;
            END $$
            """,
                """
            CREATE TRIGGER forget_interventions AFTER DELETE ON saga_orchestrator_saga
            REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
            EXECUTE FUNCTION saga_orchestrator_forget_interventions()
            """,
            ],
            "DROP FUNCTION saga_orchestrator_forget_interventions() CASCADE",
        ),
    ]
