from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0007_admin_lists'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='job',
            name='job_listed_by_status',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_listed',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_archived',
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('archived_at', None)), fields=['workspace', 'status', '-id'], name='job_listed_by_status'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('archived_at', None)), fields=['workspace', '-id'], name='job_listed'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('archived_at__isnull', False)), fields=['workspace', '-id'], name='job_archived'),
        ),
    ]
