"""A request's questions answered from a table: the datum `data_answers`."""

from __future__ import annotations

from genesis.agents.data_analyst.ingest import Table
from genesis.agents.data_analyst.phrase import sentence, value_of
from genesis.agents.data_analyst.questions import Question, read_questions
from genesis.agents.data_analyst.sql import fetch, readable
from infrastructure.errors import AgentError
from infrastructure.jsonvalue import JsonObject

MAX_ROWS = 5000
"""Rows of one answer's table; a question with more must be narrowed."""


def answer(request: str, table: Table) -> JsonObject:
    """The datum `data_answers` for a request.

    Raises:
        AgentError: not one of its questions could be answered; the message says why for each.
    """
    asked, unclear = read_questions(request, table.facts)
    not_understood: list[JsonObject] = [
        {"question": item.text, "reason": item.reason} for item in unclear
    ]
    answers: list[JsonObject] = []
    for question in asked:
        found = _answer(question, table)
        if found is None:
            reason = f"the answer has more than {MAX_ROWS} rows; ask for the top ones"
            not_understood.append({"question": question.text, "reason": reason})
        else:
            answers.append(found)
    if not answers:
        raise AgentError("; ".join(f"not understood: {_said(item)}" for item in not_understood))
    return {
        "file": table.facts.file,
        "sha256": table.sha256,
        "rows": table.facts.rows,
        "answers": answers,
        "not_understood": not_understood,
        "notes": list(table.notes),
    }


def _said(item: JsonObject) -> str:
    return f"'{item['question']}': {item['reason']}"


def _answer(question: Question, table: Table) -> JsonObject | None:
    import duckdb

    query = question.query
    try:
        rows = fetch(query, table)
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise AgentError(f"'{question.text}' cannot be computed: {first}") from error
    if len(rows) > MAX_ROWS:
        return None
    return {
        "question": question.text,
        "answer": sentence(query, rows),
        "value": value_of(query, rows),
        "columns": list(query.used_columns),
        "sql": readable(query, [column.name for column in table.facts.columns]),
        "query": query.to_json(),
    }


def in_words(answers: JsonObject) -> str:
    """All answers as one text, what was not understood last."""
    listed, unclear = answers["answers"], answers["not_understood"]
    assert isinstance(listed, list)
    assert isinstance(unclear, list)
    said = [str(item["answer"]) for item in listed if isinstance(item, dict)]
    said += [f"Not understood: {_said(item)}." for item in unclear if isinstance(item, dict)]
    return " ".join(said)
