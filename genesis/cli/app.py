"""The `genesis` command: its interface; what a command does is imported when it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="genesis",
    help="A multi-agent orchestrator that learns: plan, route, check, remember.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
agents_app = typer.Typer(help="The agents that are registered.", no_args_is_help=True)
app.add_typer(agents_app, name="agents")
memory_app = typer.Typer(help="What is remembered.", no_args_is_help=True)
app.add_typer(memory_app, name="memory")
serve_app = typer.Typer(
    help="Serve runs over HTTP, A2A and MCP until told to end.", invoke_without_command=True
)
app.add_typer(serve_app, name="serve")
train_app = typer.Typer(help="Train offline what the package decides by.", no_args_is_help=True)
app.add_typer(train_app, name="train")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, as the receipt gives it.")]
Request = Annotated[
    str, typer.Argument(metavar="REQUEST", help="What is to be done; '-' reads it from stdin.")
]
Model = Annotated[
    str | None,
    typer.Option(help="Chat models as provider:name, cheapest first, separated by commas."),
]
Workspace = Annotated[
    str | None, typer.Option(help="The folder that bounds every path; this one by default.")
]


def _print_version(asked: bool) -> None:
    if asked:
        from genesis import __version__

        typer.echo(f"genesis {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """A multi-agent orchestrator that learns: plan, route, check, remember."""


@app.command()
def run(
    request: Request,
    budget: Annotated[float | None, typer.Option(help="US dollars this run may spend.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds this run may take.")] = None,
    model: Model = None,
    session: Annotated[str | None, typer.Option(help="Groups runs; made up by default.")] = None,
    workspace: Workspace = None,
    approve: Annotated[
        list[str] | None,
        typer.Option(help="Ask first: plan, cost:USD, task:TYPE. May be given several times."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Do what is asked: the answer on stdout, the plan, progress and receipt on stderr.

    Leaves with 1 when it failed, 3 when the money did not reach, 4 when it waits for an approval,
    and 130 when Ctrl-C interrupted it.
    """
    from genesis.cli.run import RunOptions, run_command

    asked = tuple(approve or ())
    options = RunOptions(request, budget, timeout, model, session, workspace, asked)
    run_command(options, as_json=as_json)


@app.command()
def resume(
    run_id: RunId,
    budget: Annotated[float | None, typer.Option(help="US dollars for the whole run.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds from now on.")] = None,
    model: Model = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted or approved; nothing finished is done again."""
    from genesis.cli.run import ResumeOptions, resume_command

    resume_command(ResumeOptions(run_id, budget, timeout, model, workspace), as_json=as_json)


ApprovalId = Annotated[
    str | None, typer.Option("--id", help="Which question, where a run asks several.")
]
Comment = Annotated[str, typer.Option(help="Why; kept with the run.")]
Later = Annotated[bool, typer.Option("--later", help="Only note it; resume the run yourself.")]


@app.command()
def approve(
    run_id: RunId,
    approval_id: ApprovalId = None,
    edit: Annotated[
        str | None,
        typer.Option(
            help="Approve with a change: the task's new description, the new limit in US dollars,"
            " the answer to an agent, or @plan.json for a changed plan."
        ),
    ] = None,
    comment: Comment = "",
    later: Later = False,
    as_json: Json = False,
) -> None:
    """Say yes to what a run waits for, and go on with it."""
    from genesis.cli.run import DecisionOptions, decide_command

    verb = "approve" if edit is None else "edit"
    options = DecisionOptions(run_id, verb, approval_id, edit, comment)
    decide_command(options, resume=not later, as_json=as_json)


@app.command()
def reject(
    run_id: RunId,
    approval_id: ApprovalId = None,
    comment: Comment = "",
    later: Later = False,
    as_json: Json = False,
) -> None:
    """Say no to what a run waits for, and let it end or go another way."""
    from genesis.cli.run import DecisionOptions, decide_command

    options = DecisionOptions(run_id, "reject", approval_id, None, comment)
    decide_command(options, resume=not later, as_json=as_json)


@app.command()
def cancel(
    run_id: RunId,
    reason: Annotated[str, typer.Option(help="Why; kept with the run.")] = "",
    as_json: Json = False,
) -> None:
    """End a run for good, wherever it is worked on; what is finished is kept."""
    from genesis.cli.run import cancel_command

    cancel_command(run_id, reason, as_json=as_json)


@app.command()
def plan(
    request: Request, model: Model = None, workspace: Workspace = None, as_json: Json = False
) -> None:
    """Show the plan for a request, with agents and expected cost, without running it."""
    from genesis.cli.run import plan_command

    plan_command(request, model, workspace, as_json=as_json)


@app.command()
def runs(
    failed: Annotated[bool, typer.Option("--failed", help="Only runs that failed.")] = False,
    state: Annotated[
        str | None,
        typer.Option(
            help="Only in this state: running, waiting, interrupted, completed, failed, canceled."
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only from then on: 90s, 30m, 12h, 7d.")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    from genesis.cli.runs import runs_command

    runs_command(
        failed=failed, state=state, since=since, session=session, limit=limit, as_json=as_json
    )


@app.command()
def show(
    run_id: RunId,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Only its plan, as JSON: `approve --edit @FILE` takes it."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a run was asked, did and answered, and what it waits for."""
    from genesis.cli.show import show_command

    show_command(run_id, plan=plan, as_json=as_json)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run's id.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another's.")],
    as_json: Json = False,
) -> None:
    """Show how two runs differ: plans, agents, attempts, costs, outcomes."""
    from genesis.cli.diff import diff_command

    diff_command(first, second, as_json=as_json)


@app.command()
def explain(run_id: RunId, as_json: Json = False) -> None:
    """Say why: task type, plan, agents and those rejected, findings, choices, verdicts."""
    from genesis.cli.runs import explain_command

    explain_command(run_id, as_json=as_json)


@app.command()
def metrics(
    task_type: Annotated[str | None, typer.Option(help="Only this task type.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from then on: 90s, 30m, 12h, 7d.")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session's runs.")] = None,
    as_json: Json = False,
) -> None:
    """Show what was executed and what memory gained."""
    from genesis.cli.metrics import metrics_command

    metrics_command(task_type=task_type, since=since, session=session, as_json=as_json)


@app.command()
def feedback(
    run_id: RunId,
    success: Annotated[
        bool | None, typer.Option("--success/--failure", help="Whether it was right after all.")
    ] = None,
    task_type: Annotated[str | None, typer.Option(help="The task type it really was.")] = None,
    comment: Annotated[str | None, typer.Option(help="Kept with the run.")] = None,
    as_json: Json = False,
) -> None:
    """Correct what was learnt from a run."""
    from genesis.cli.runs import feedback_command

    feedback_command(run_id, success=success, task_type=task_type, comment=comment, as_json=as_json)


@agents_app.command("list")
def agents_list(as_json: Json = False) -> None:
    """List agents with their operations, and what each requires and produces."""
    from genesis.cli.agents import list_command

    list_command(as_json=as_json)


@agents_app.command("check")
def agents_check(
    urls: Annotated[
        list[str] | None, typer.Argument(metavar="[URL]...", help="A2A agents to check as well.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether agents, declared plans and routing rules fit together; 1 when they do not."""
    from genesis.cli.agents import check_command

    check_command(urls or (), as_json=as_json)


@memory_app.command("forget")
def memory_forget(
    source: Annotated[
        str | None,
        typer.Option(help="All that agent:NAME, session:ID or another source took part in."),
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="One run, by its id.")] = None,
    as_json: Json = False,
) -> None:
    """Forget for good all that a source or a run caused, in every counter too."""
    from genesis.cli.memory import forget_command

    forget_command(source=source, run_id=run_id, as_json=as_json)


@memory_app.command("prune")
def memory_prune(
    older_than: Annotated[
        str | None, typer.Option(help="Of runs that ended longer ago: 12h, 30d, 26w.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=0, help="Keep so many, of the runs that ended last.")
    ] = None,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Shrink the SQLite file too; writes wait meanwhile.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete the journals of old runs; what was learnt from them stays."""
    from genesis.cli.memory import prune_command

    prune_command(older_than=older_than, keep=keep, vacuum=vacuum, as_json=as_json)


@serve_app.callback()
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Where to listen; elsewhere needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8300,
    grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="A2A over gRPC; off by default.")
    ] = None,
    url: Annotated[str, typer.Option(help="Where clients reach it, behind a proxy.")] = "",
    a2a: Annotated[bool, typer.Option("--a2a/--no-a2a", help="Serve A2A.")] = True,
    mcp: Annotated[bool, typer.Option("--mcp/--no-mcp", help="Serve the memory over MCP.")] = True,
    a2a_test_mode: Annotated[bool, typer.Option("--a2a-test-mode", hidden=True)] = False,
    mcp_test_mode: Annotated[bool, typer.Option("--mcp-test-mode", hidden=True)] = False,
    grace: Annotated[float, typer.Option(min=0, help="Seconds runs may take to finish.")] = 20.0,
    workspace: Workspace = None,
    logs_json: Annotated[bool, typer.Option("--json", help="Log lines as JSON.")] = False,
) -> None:
    """Serve runs over HTTP, A2A and MCP until told to end."""
    if context.invoked_subcommand is not None:
        return
    from genesis.cli.serve import ServeFlags, serve_command

    serve_command(
        ServeFlags(
            host=host,
            port=port,
            grpc_port=grpc_port,
            url=url,
            a2a=a2a,
            mcp=mcp,
            a2a_test_mode=a2a_test_mode,
            mcp_test_mode=mcp_test_mode,
            grace_s=grace,
            workspace=workspace,
            logs_json=logs_json,
        )
    )


@serve_app.command("token")
def serve_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will hold it, for logs.")],
    tenant: Annotated[
        str | None, typer.Option(help="Whose runs and memory; the setting's by default.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="From now: 12h, 90d, 26w.")] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="May read the metrics of the whole process.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a token that may call: printed once, only its hash is kept."""
    from genesis.cli.serve import token_command

    token_command(name, tenant, expires, operator=operator, as_json=as_json)


@train_app.callback()
def train() -> None:
    """Train offline what the package decides by."""


@train_app.command("agemem")
def train_agemem(
    stage: Annotated[
        str | None, typer.Option(help="Only this one: single, multi, unified; all by default.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=0, max=1_000_000, help="Of each stage, at most.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Go on with the training of this folder."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Takes all files; training/agemem of the data folder."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Of all that is drawn.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A JSON file with other values.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the memory policy: what to store, change, drop, fetch, filter and summarise.

    The folder takes policy.safetensors, checkpoint.safetensors, metrics.jsonl and curves.png.
    Ctrl-C leaves with 130; the checkpoint is written, and the training can be gone on with.
    """
    from genesis.cli.train import TrainOptions, train_command

    options = TrainOptions(stage, steps, resume, out, seed, config)
    train_command(options, as_json=as_json)


@app.command()
def mcp(
    name: Annotated[
        str,
        typer.Option(help="Who writes: memories get the source mcp:NAME, and can be forgotten."),
    ] = "stdio",
    tenant: Annotated[
        str | None, typer.Option(help="Whose memory; the setting's by default.")
    ] = None,
    test_mode: Annotated[bool, typer.Option("--mcp-test-mode", hidden=True)] = False,
) -> None:
    """Serve the memory over MCP on stdin and stdout, for an MCP client that starts it."""
    from genesis.cli.mcp import mcp_command

    mcp_command(name=name, tenant=tenant, test_mode=test_mode)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine lacks and how to mend it, and which settings are in force."""
    from genesis.cli.doctor import doctor_command

    doctor_command(as_json=as_json)


@app.command()
def path(as_json: Json = False) -> None:
    """Print where the memory store lies."""
    from genesis.cli.doctor import path_command

    path_command(as_json=as_json)


def main() -> None:
    """The entry point of the installed command."""
    if os.environ.get("NO_COLOR") is None and not os.isatty(1):
        # Rich and Typer look at this: no colour codes in a pipe.
        os.environ["NO_COLOR"] = "1"
    app()


if __name__ == "__main__":
    main()
