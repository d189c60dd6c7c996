import participant.fields
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Payments are of a step, and about a subject; the barrier knows the saga's name."""

    dependencies = [
        ("pagos", "0003_free_of_charge"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="payment", name="payment_once_a_saga"),
        migrations.RemoveConstraint(model_name="refund", name="refund_once_a_saga"),
        migrations.RemoveIndex(model_name="payment", name="payment_of_cart"),
        migrations.RenameField("payment", "cart_id", "subject"),
        migrations.AddField(
            "payment",
            "step",
            participant.fields.TextId(db_collation="C", db_default="", default="", max_length=64),
        ),
        migrations.RunSQL(
            "UPDATE pagos_payment SET step = 'process_payment' WHERE saga_id IS NOT NULL",
            migrations.RunSQL.noop,
        ),
        migrations.AddConstraint(
            "payment",
            models.UniqueConstraint(fields=("saga_id", "step"), name="payment_once_a_step"),
        ),
        migrations.AddIndex(
            "payment",
            models.Index(
                fields=["subject"], condition=~Q(subject=""), name="payment_of_subject"
            ),
        ),
        migrations.AddIndex(
            "payment", models.Index(fields=["created_at", "id"], name="payment_newest")
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
            "UPDATE pagos_barrierentry SET saga = 'checkout'"
            " WHERE step IN ('process_payment') OR step LIKE 'extra\\_%%'",
            migrations.RunSQL.noop,
        ),
    ]
