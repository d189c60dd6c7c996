from django.db import migrations, models

import participant.fields

CONTEXTS = """
    UPDATE saga_choreography_saga
    SET context = jsonb_build_object(
        'saga', saga, 'saga_id', saga_id, 'pattern', 'choreographed', 'subject', subject,
        'traceparent', coalesce(context -> 'traceparent', '""'),
        'data', jsonb_build_object(
            'items', (SELECT coalesce(jsonb_agg(line - 'unit_price'), '[]')
                      FROM jsonb_array_elements(CASE jsonb_typeof(context -> 'items')
                                                WHEN 'array' THEN context -> 'items'
                                                ELSE '[]' END) AS line
                      WHERE jsonb_typeof(line) = 'object'),
            'total_amount', context -> 'total_amount',
            'payment_method', context -> 'payment_method'
        )
    )
    WHERE jsonb_typeof(context) = 'object' AND NOT context ? 'data'
"""
"""A flat checkout, as every saga was one, into the context that every saga has."""


class Migration(migrations.Migration):

    dependencies = [
        ('saga_choreography', '0005_money'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='saga',
            name='choreography_total_is_money',
        ),
        migrations.RenameField(
            model_name='saga',
            old_name='cart_id',
            new_name='subject',
        ),
        migrations.AddField(
            model_name='saga',
            name='saga',
            field=participant.fields.TextId(db_collation='C', default='checkout', max_length=64),
            preserve_default=False,
        ),
        migrations.RunSQL(CONTEXTS, migrations.RunSQL.noop),
        migrations.RemoveField(
            model_name='saga',
            name='total_amount',
        ),
        migrations.AlterField(
            model_name='saga',
            name='context',
            field=models.JSONField(help_text='What it is about, as it was frozen at acceptance.'),
        ),
        migrations.AlterField(
            model_name='sagaevent',
            name='data',
            field=models.JSONField(
                help_text='Its result, or its failure; results of earlier steps.'
            ),
        ),
    ]
