from django.db.models import Q
from django.db.models.expressions import RawSQL

from jobs.models.workspaces import User

#: What a person has asked for that waits and rests on a job, at any depth, whose type lets nobody
#: approve their own. As `Job.ruling_types` says it, for a question of many jobs at once.
_RESTS_ON_A_REFUSAL = """
WITH RECURSIVE rests (job, above) AS (
    SELECT job.id, job.parent_id
    FROM jobs_job job JOIN jobs_jobtype type ON type.id = job.job_type_id
    WHERE job.requester_id = %s AND job.status = 'needs_review'
        AND type.follows AND job.parent_id IS NOT NULL
    UNION
    SELECT rests.job, job.parent_id
    FROM rests JOIN jobs_job job ON job.id = rests.above
        JOIN jobs_jobtype type ON type.id = job.job_type_id
    WHERE type.follows AND job.parent_id IS NOT NULL
)
SELECT rests.job
FROM rests JOIN jobs_job job ON job.id = rests.above
    JOIN jobs_jobtype type ON type.id = job.job_type_id
WHERE NOT type.own_approval
"""


def own_refused(user: User) -> Q:
    """What waits, was asked for by `user`, and must be approved by somebody else."""
    above = RawSQL(_RESTS_ON_A_REFUSAL, [user.pk])  # noqa: S611
    return Q(requester=user) & (Q(job_type__own_approval=False) | Q(pk__in=above))
