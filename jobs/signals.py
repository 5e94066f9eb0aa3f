"""What other apps may hang on to: `jobs` knows none of them."""

from django.dispatch import Signal

#: An event was appended to a job's chain. Sent inside the transaction, with the job's row held:
#: ``job``, ``event``. What a receiver writes is kept or lost with the event; it must not be slow,
#: and if it raises, nothing happened at all.
recorded = Signal()

#: A sweep looks around, about once a second and never in a transaction: ``now``. Several sweeps may
#: do so at once. A receiver that raises is logged and asked again the next time.
looked_around = Signal()

#: Whether a completed job may still go back to review: ``job``. A receiver answers why not, in a
#: sentence, or "". Asked wherever the rule is, so that it must not be slow, and writes nothing.
asked_to_reopen = Signal()

#: What is wrong with what other apps look after: ``workspace``, None for all of them. A receiver
#: answers findings (`jobs.operations.health.Finding`). Asked whenever somebody looks at the
#: operations page, so that it must not be slow, and writes nothing.
asked_what_is_wrong = Signal()

#: A tool posts to an address that a model named: ``workspace`` (its id), ``url``, ``now``. A receiver
#: answers the secrets that sign what goes there, the newest first; none where the address is none
#: of the workspace's own.
asked_to_sign = Signal()
