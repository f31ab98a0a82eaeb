//! `tagcl demo`: the main job on data that ships with the program.
//!
//! Rotated MNIST, ten tasks, a small MLP, every optimizer and every method, three seeds, about a minute. The sizes are
//! chosen so that it is short; the learning rates of the optimizers by a search over seeds other than the three shown,
//! with 30% of the images where the demo now takes 20% (`docs/results.md` has it). The methods were not searched.

use super::CliError;
use super::args::DemoArgs;
use super::execute::{Execution, execute};
use super::printer::Printer;
use crate::experiment::plan::settings::{Interval, Origin, PlannedRun, Settings};
use crate::method::{METHODS, PLAIN};
use crate::report::Group;

/// Learning rates, by optimizer; the methods run at their optimizer's.
const RATES: [(&str, &str); 7] = [
    ("sgd", "0.1"),
    ("rmsprop", "0.001"),
    ("adagrad", "0.03"),
    ("adam", "0.001"),
    ("tag-rmsprop", "0.001"),
    ("tag-adagrad", "0.01"),
    ("tag-adam", "0.001"),
];
/// Optimizers that every method is shown with.
const WITH_METHODS: [&str; 2] = ["sgd", "tag-rmsprop"];

pub(super) fn demo(args: &DemoArgs, printer: &Printer) -> Result<(), CliError> {
    let mut runs: Vec<PlannedRun> = Vec::new();
    let mut jobs = None;
    let pairs = METHODS.iter().flat_map(|method| {
        let shown = |optimizer: &str| **method == PLAIN || WITH_METHODS.contains(&optimizer);
        let shown = RATES.iter().filter(move |(optimizer, _)| shown(optimizer));
        shown.map(|(optimizer, lr)| (method.name, *optimizer, *lr))
    });
    for (method, optimizer, lr) in pairs {
        let set = [
            ("benchmark", "rotated-mnist"),
            ("data", "embedded"),
            ("fraction", "0.2"),
            ("hidden", "128"),
            ("method", method),
            ("optimizer", optimizer),
            ("lr", lr),
            ("seeds", "1-3"),
        ];
        let mut settings = Settings::of(set, &Origin::Default("demo"))?;
        if let Some(jobs) = &args.jobs {
            settings.set("jobs", jobs, Origin::CommandLine)?;
        }
        let plan = settings.plan()?;
        jobs = plan.jobs;
        runs.extend(plan.runs);
    }
    printer.note("Ten tasks, one after another: MNIST digits, turned 30° further in each task.");
    let how = Execution {
        out: &args.out,
        data: None,
        init: None,
        jobs,
        threads: 1,
        checkpoint_every: Interval::USUAL.0,
        json: args.json,
    };
    let groups = execute(&runs, &how, printer)?;
    if !args.json {
        printer.data(&moral(&groups));
    }
    Ok(())
}

/// What the table shows, in two sentences made of its own numbers.
fn moral(groups: &[Group]) -> String {
    let find = |name| {
        let mut plain = groups.iter().filter(|g| g.config.method.name == "plain");
        plain.find(|g| g.config.optimizer.name == name)
    };
    let (Some(sgd), Some(naive), Some(tag)) = (find("sgd"), find("rmsprop"), find("tag-rmsprop"))
    else {
        return String::new();
    };
    let (a, b) = (naive.average_accuracy.mean, tag.average_accuracy.mean);
    let (Some(learned), Some(sgd_forgets), Some(tag_forgets)) =
        (sgd.learning_accuracy, sgd.forgetting, tag.forgetting)
    else {
        return String::new();
    };
    let comparison = if b > a { "more" } else { "less" };
    format!(
        "SGD learns every task to {:.1}% but ends with {:.1}% on average: it forgets {:.1} points of its best.\n\
         TAG-RMSProp, which remembers which directions mattered to which task, forgets {:.1} points and ends at \
         {b:.1}%, {:.1} points {comparison} than the RMSProp that it is built on ({a:.1}%).",
        learned.mean,
        sgd.average_accuracy.mean,
        100.0 * sgd_forgets.mean,
        100.0 * tag_forgets.mean,
        (b - a).abs(),
    )
}
