"""What other parts may hang on to."""

from django.dispatch import Signal

#: Somebody was named with an @ in a note, or in the words of a decision. Sent inside the transaction
#: that stores it: ``note`` (the `ReviewerNote` or the `Decision`), ``text``, ``author``, ``job``, and
#: ``people``, who may all see the review; the author is never among them. What a receiver writes is
#: kept or lost with the note; it must not be slow.
mentioned = Signal()
