import participant.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    """Reservations are of a step, and about a subject; the barrier knows the saga's name."""

    dependencies = [
        ("inventario", "0003_money"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="reservation", name="reservation_once_a_saga"),
        migrations.RenameField("reservation", "cart_id", "subject"),
        migrations.AddField(
            "reservation",
            "step",
            participant.fields.TextId(
                db_collation="C", default="reserve_inventory", max_length=64
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            "reservation",
            models.UniqueConstraint(fields=("saga_id", "step"), name="reservation_once_a_step"),
        ),
        migrations.AddField(
            "barrierentry",
            "saga",
            participant.fields.TextId(
                blank=True, db_collation="C", db_default="", default="", max_length=64
            ),
        ),
        migrations.AlterField(
            "barrierentry",
            "direction",
            models.CharField(
                choices=[("do", "do"), ("undo", "undo")], db_collation="C", max_length=4
            ),
        ),
        migrations.RunSQL(
            "UPDATE inventario_barrierentry SET saga = 'checkout'"
            " WHERE step IN ('reserve_inventory', 'commit_inventory') OR step LIKE 'extra\\_%%'",
            migrations.RunSQL.noop,
        ),
    ]
