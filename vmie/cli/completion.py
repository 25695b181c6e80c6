"""What the shell is offered for a word that is being typed: names of this machine; AWS is never asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps


def _offered(find: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What begins with the word; nothing, rather than an error in the middle of a line, where a look-up fails."""

    @wraps(find)
    def offer(incomplete: str) -> list[str]:
        try:
            found = list(dict.fromkeys(find()))
        except Exception:
            return []
        return [one for one in found if one.startswith(incomplete) and one.isprintable()]

    del offer.__wrapped__  # Typer reads the signature
    offer.__annotations__ = {"incomplete": str, "return": list[str]}
    return offer


@_offered
def profiles() -> Iterable[str]:
    """The AWS profiles of this machine."""
    from vmie.aws import known_names

    return known_names.profiles()


@_offered
def regions() -> Iterable[str]:
    """The Regions that the SDK knows."""
    from vmie.aws import known_names

    return known_names.regions()


@_offered
def batches() -> Iterable[str]:
    """The batches of this machine, newest first."""
    return _batches()


@_offered
def jobs() -> Iterable[str]:
    """The jobs and batches of this machine, newest first."""
    return sorted((*_jobs(), *_batches()), key=lambda name: name.partition("-")[2], reverse=True)


@_offered
def tasks() -> Iterable[str]:
    """The tasks of this machine's jobs."""
    return _tasks()


@_offered
def jobs_and_tasks() -> Iterable[str]:
    """What `vmie cancel` takes."""
    return (*_jobs(), *_batches(), *_tasks())


@_offered
def explained() -> Iterable[str]:
    """What `vmie explain` takes as one word."""
    from vmie.ops import explaining

    return (*explaining.ids(), *_tasks())


def _jobs() -> list[str]:
    from vmie.settings import state_path

    return sorted((path.stem for path in (state_path() / "jobs").glob("job-*.json")), reverse=True)


def _batches() -> list[str]:
    from vmie.settings import state_path

    return sorted((path.name for path in (state_path() / "batches").glob("batch-*")), reverse=True)


def _tasks() -> list[str]:
    import secrets

    from vmie.jobs.store import JobStore
    from vmie.poll import SystemClock
    from vmie.settings import state_path

    found = JobStore(state_path(), now=SystemClock().now, token_hex=secrets.token_hex).list()
    return [one.task_id for one in found if one.task_id]
