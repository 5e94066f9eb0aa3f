from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0005_waiting'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('archived_at', None)), fields=['workspace', '-id'], name='job_listed'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('archived_at', None)), fields=['workspace', 'status', '-id'], name='job_listed_by_status'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('archived_at__isnull', False)), fields=['workspace', '-id'], name='job_archived'),
        ),
    ]
