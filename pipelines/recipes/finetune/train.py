"""One fine-tune from top to bottom: base, data, training, save, compare, card.

All scores and samples are of the saved files, loaded as any user would load them; so are
the last points of the curves.
"""

from __future__ import annotations

from contextlib import nullcontext

from accelerate import Accelerator, PartialState

from pipelines.events import Progress, Report
from pipelines.files.imagefolder import DataLimits, opened
from pipelines.recipes import results, training
from pipelines.recipes.finetune.captioner import Captioner
from pipelines.recipes.finetune.card import Comparison, effect, write_card
from pipelines.recipes.finetune.lesson import Lesson
from pipelines.recipes.finetune.painter import Painter
from pipelines.recipes.finetune.plan import Plan
from pipelines.recipes.finetune.progress import Countdown, ProgressFile
from pipelines.recipes.finetune.tuning import Tuned, tune
from pipelines.recipes.finetune.writer import Writer


def finetune(plan: Plan) -> None:
    """Trains, and leaves in ``plan.options.output`` a checkpoint ready to be published.

    Raises:
        StudioError: base, data or budget cannot be used; the message says what to do.
    """
    Accelerator(mixed_precision=training.precision())  # the first one finds other processes
    is_main = PartialState().is_main_process
    report: Report = ProgressFile(plan.options.run_dir) if is_main else lambda progress: None
    report(Progress(f"Loading {plan.base.reference} and the data"))
    is_text = plan.mode == "writer"
    with nullcontext(plan.data) if is_text else opened(plan.data, DataLimits()) as folder:
        lesson: Lesson
        if is_text:
            lesson = Writer(plan)
        else:
            lesson = (Painter if plan.mode == "painter" else Captioner)(plan, folder)
        tuned = tune(lesson, plan.options, plan.patience, report)
        if is_main:
            save_and_compare(plan, lesson, tuned, report)


def save_and_compare(plan: Plan, lesson: Lesson, tuned: Tuned, report: Report) -> None:
    """Writes checkpoint, log, samples and card; scores base and fine-tune on the same data."""
    output = plan.options.output
    output.mkdir(parents=True, exist_ok=True)
    report(Progress("Saving"))
    lesson.save(output)
    compared, last = lesson.work
    lesson.on_work = countdown = Countdown(report, 2 * compared + last)
    countdown.message = f"Measuring {plan.base.reference}"
    base = lesson.open_base()
    before, shown_before = lesson.measure(base), lesson.show(base)
    countdown.message = f"Measuring {output.name}"
    model = lesson.open_tuned(base, output)
    after, shown_after = lesson.measure(model), lesson.show(model)
    tuned.log(**lesson.glance(model))
    report(Progress("Writing the card"))
    samples = lesson.write_samples(shown_before, shown_after, output)
    results.keep_log(plan.options)
    comparisons = [Comparison(name, before[name], after[name]) for name in after]
    write_card(plan, lesson, tuned, comparisons, samples)
    print(*map(effect, comparisons), sep="\n")
