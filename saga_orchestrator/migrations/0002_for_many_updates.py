"""How the hot tables are stored: room for the next versions of a row beside it, and no index that
nobody uses.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("saga_orchestrator", "0001_initial")]

    operations = [
        # A saga is updated seven times: with room on its page these stay heap-only updates.
        migrations.RunSQL(
            "ALTER TABLE saga_orchestrator_saga SET (fillfactor = 50)",
            "ALTER TABLE saga_orchestrator_saga RESET (fillfactor)",
        ),
        # Django adds these for LIKE; with the collation "C" the primary key serves for it.
        migrations.RunSQL(
            "DROP INDEX IF EXISTS saga_orchestrator_saga_saga_id_9dc89e0f_like",
            migrations.RunSQL.noop,
        ),
    ]
