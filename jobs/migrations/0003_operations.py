from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0002_history'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('settled_at__isnull', False)), fields=['workspace', 'settled_at', 'status', 'cost_usd'], name='job_by_settled'),
        ),
    ]
