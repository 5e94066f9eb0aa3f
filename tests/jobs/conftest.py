import pytest

from jobs import audit
from jobs.models import Review
from tests.driver import Driver
from tests.factories import JobFactory


@pytest.fixture
def nothing_paid_twice(driver, sandbox):
    """No turn ever started more than one response, and the record of every job is whole."""
    yield
    assert max(sandbox.stats()["by_turn"].values(), default=0) <= 1
    assert list(audit.verify()) == []


@pytest.fixture
def job(driver, clock):
    """A queued job of a type that is reviewed only when there are warnings."""
    return JobFactory(now=clock(), job_type__review=Review.RULES)


@pytest.fixture
def hasty(db, sandbox, clock):
    """The engine with little patience for an answer."""
    with Driver(sandbox.base_url, clock, timeout=0.4) as running:
        yield running
