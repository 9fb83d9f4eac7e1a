"""Everything of the conversations conductor that needs the database: imported when it is first used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from serve_apps import database as databases
from serve_apps.args import ConversationsArgs
from serve_apps.contracts import Chat
from serve_apps.conversation.answering import Answering
from serve_apps.conversation.answers import AnswerStore
from serve_apps.conversation.exchange import Exchange
from serve_apps.conversation.files import ConversationFiles
from serve_apps.conversation.store import ConversationStore
from serve_apps.conversation.threads import DatabaseThreads, translated
from serve_apps.errors import StageUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The stores of one process, and the answers that it writes."""

    threads: DatabaseThreads
    store: ConversationStore
    answers: AnswerStore
    answering: Answering
    files: ConversationFiles


def host(
    chat: Chat, args: ConversationsArgs, database: Engine | None, model: Callable[[], Awaitable[str]]
) -> Host:
    """Open the database (this process's own when None); blocking.

    What a process that died was writing is marked as interrupted.

    Raises:
        StageUnavailable: the database cannot be reached.
    """
    try:
        opened = databases.engine() if database is None else database
        answers = AnswerStore(opened)
        answers.end_dead()
    except SQLAlchemyError as error:
        raise translated(error) from error
    except OSError as error:
        raise StageUnavailable(
            "conversations", f"The database cannot be opened: {error.strerror}.", f"See {error.filename}."
        ) from error
    threads, store = DatabaseThreads(), ConversationStore(opened)
    return Host(
        threads=threads,
        store=store,
        answers=answers,
        answering=Answering(chat, args, threads=threads, answers=answers, conversations=store, model=model),
        files=ConversationFiles(Exchange(opened), threads),
    )
