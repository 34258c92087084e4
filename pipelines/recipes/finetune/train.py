"""One fine-tune from top to bottom: base, data, training, save, compare, card.

What is measured and shown is read back from the saved files, as anybody would load them;
so are the last points of the curves.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from accelerate import Accelerator, PartialState

from pipelines.events import Progress, Report
from pipelines.files.imagefolder import DataLimits, opened
from pipelines.recipes import training
from pipelines.recipes.finetune.captioner import Captioner
from pipelines.recipes.finetune.card import Comparison, Facts, write_card
from pipelines.recipes.finetune.painter import Painter
from pipelines.recipes.finetune.plan import Plan
from pipelines.recipes.finetune.progress import Countdown, ProgressFile
from pipelines.recipes.finetune.tuning import Tuned, tune
from pipelines.recipes.finetune.writer import Writer


def finetune(plan: Plan) -> None:
    """Trains, and leaves in ``plan.options.output`` a checkpoint ready to be published.

    Raises:
        StudioError: base, data or budget are not usable; the message says what to do.
    """
    Accelerator(mixed_precision=training.precision())  # the first one learns of other processes
    is_main = PartialState().is_main_process
    report: Report = ProgressFile(plan.options.run_dir) if is_main else lambda progress: None
    report(Progress(f"Loading {plan.base.reference} and the data"))
    is_pictures = plan.mode != "writer"
    with opened(plan.data, DataLimits()) if is_pictures else nullcontext(plan.data) as folder:
        lesson: Any
        if plan.mode == "writer":
            lesson = Writer(plan)
        else:
            lesson = (Painter if plan.mode == "painter" else Captioner)(plan, folder)
        tuned = tune(lesson, plan.options, plan.patience, report)
        if is_main:
            save_and_compare(plan, lesson, tuned, report)


def save_and_compare(plan: Plan, lesson: Any, tuned: Tuned, report: Report) -> None:
    """Writes the checkpoint, its log, samples and card; scores base and fine-tune alike."""
    output = plan.options.output
    output.mkdir(parents=True, exist_ok=True)
    report(Progress("Saving"))
    lesson.save(output)
    each, last = lesson.work
    lesson.on_work = countdown = Countdown(report, 2 * each + last)
    countdown.message = f"Measuring {plan.base.reference}"
    base = lesson.open_base()
    before, shown_before = lesson.measure(base), lesson.show(base)
    countdown.message = f"Measuring {output.name}"
    model = lesson.open_tuned(base, output)
    after, shown_after = lesson.measure(model), lesson.show(model)
    tuned.log(**lesson.glance(model))
    samples = lesson.write_samples(shown_before, shown_after, output)
    training.keep_log(plan.options)
    comparisons = [Comparison(name, before[name], after[name]) for name in after]
    facts = Facts(tuned, comparisons, lesson.data_sha256, lesson.data_size, samples)
    write_card(plan, facts, output)
    for each in comparisons:
        print(f"{each.metric}: base {each.base.value:.5g}, fine-tune {each.tuned.value:.5g}")
