//! `tagcl demo`: the main job on data that ships with the program, in all three scenarios.
//!
//! Rotated MNIST with known tasks (every optimizer, and the paper's methods), rotated MNIST with one head, and Split MNIST whose
//! classes come two by two; a small MLP, three seeds, about a minute. The sizes are chosen so that it is short; the learning
//! rates of the optimizers on the first stream by a search over seeds other than the three shown, with 30% of the images
//! where the demo now takes 20% (`docs/results.md` has it). The methods were not searched.

use super::CliError;
use super::args::DemoArgs;
use super::execute::{Execution, execute};
use super::printer::Printer;
use crate::experiment::plan::settings::{Interval, Origin, Plan, PlannedRun, Settings};
use crate::method::PLAIN;
use crate::report::Group;
use crate::stream::Scenario;

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
/// Optimizers that the methods of the first part are shown with.
const WITH_METHODS: [&str; 2] = ["sgd", "tag-rmsprop"];

/// A stream with what is shown on it.
struct Part {
    said: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// Methods with the settings that they are shown with; each with the optimizers of [`WITH_METHODS`], or SGD alone.
    methods: &'static [(&'static str, &'static [(&'static str, &'static str)])],
}

/// What methods without a number a class remember here: as much as one example a class of all ten tasks.
const MEMORY: (&str, &str) = ("memory_total", "100");

/// The task is known.
const TASK: Part = Part {
    said: "Ten tasks, one after another: MNIST digits, turned 30° further in each task. Which task is asked is known.",
    settings: &[("benchmark", "rotated-mnist"), ("fraction", "0.2")],
    methods: &[
        ("ewc", &[]),
        ("agem", &[]),
        ("er", &[]),
        ("der++", &[MEMORY]),
    ],
};

/// The task is not known; SGD alone.
const OTHERS: [Part; 2] = [
    Part {
        said: "The same digits with one head for all tasks: which turn is asked is not known.",
        settings: &[
            ("benchmark", "rotated-mnist"),
            ("fraction", "0.2"),
            ("scenario", "domain"),
        ],
        methods: &[
            ("plain", &[]),
            ("si", &[]),
            ("lwf", &[]),
            ("er", &[MEMORY]),
            ("der++", &[MEMORY]),
        ],
    },
    Part {
        said: "MNIST two digits at a time: in the end all ten are told apart.",
        settings: &[("benchmark", "split-mnist"), ("scenario", "class")],
        methods: &[
            ("plain", &[]),
            ("er", &[MEMORY]),
            ("er-ace", &[MEMORY]),
            ("er-mir", &[MEMORY]),
            ("der++", &[MEMORY]),
        ],
    },
];

impl Part {
    fn runs(
        &self,
        args: &DemoArgs,
        method: &str,
        own: &[(&'static str, &'static str)],
        (optimizer, lr): (&str, &str),
    ) -> Result<Plan, CliError> {
        let common = [
            ("data", "embedded"),
            ("hidden", "128"),
            ("method", method),
            ("optimizer", optimizer),
            ("lr", lr),
            ("seeds", "1-3"),
        ];
        let set = common.iter().chain(self.settings).chain(own).copied();
        let mut settings = Settings::of(set, &Origin::Default("demo"))?;
        if let Some(jobs) = &args.jobs {
            settings.set("jobs", jobs, Origin::CommandLine)?;
        }
        Ok(settings.plan()?)
    }
}

/// Every run of the demo, and how many at once.
fn planned(args: &DemoArgs) -> Result<(Vec<PlannedRun>, Option<usize>), CliError> {
    let mut plans = Vec::new();
    for rate in RATES {
        plans.push(TASK.runs(args, PLAIN.name, &[], rate)?);
    }
    for (method, own) in TASK.methods {
        for rate in RATES
            .into_iter()
            .filter(|(name, _)| WITH_METHODS.contains(name))
        {
            plans.push(TASK.runs(args, method, own, rate)?);
        }
    }
    for part in &OTHERS {
        for (method, own) in part.methods {
            plans.push(part.runs(args, method, own, ("sgd", "0.05"))?);
        }
    }
    let jobs = plans.first().and_then(|plan| plan.jobs);
    let runs = plans.into_iter().flat_map(|plan| plan.runs);
    Ok((runs.collect(), jobs))
}

pub(super) fn demo(args: &DemoArgs, printer: &Printer) -> Result<(), CliError> {
    let (runs, jobs) = planned(args)?;
    for part in std::iter::once(&TASK).chain(&OTHERS) {
        printer.note(part.said);
    }
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
        let known = groups
            .iter()
            .filter(|g| g.config.scenario == Scenario::Task);
        let mut plain = known.filter(|g| *g.config.method == PLAIN);
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
    let classes = |method: &str| {
        let mut all = groups
            .iter()
            .filter(|g| g.config.scenario == Scenario::Class);
        let found = all.find(|g| g.config.method.name == method);
        found.map_or(f64::NAN, |g| g.average_accuracy.mean)
    };
    let comparison = if b > a { "more" } else { "less" };
    format!(
        "SGD learns every task to {:.1}% but ends with {:.1}% on average: it forgets {:.1} points of its best.\n\
         TAG-RMSProp, which remembers which directions mattered to which task, forgets {:.1} points and ends at \
         {b:.1}%, {:.1} points {comparison} than the RMSProp that it is built on ({a:.1}%).\n\
         Where classes come two by two and no task is known, SGD ends with {:.1}%, and with a hundred remembered digits: \
         {:.1}% by experience replay, {:.1}% by ER-ACE.",
        learned.mean,
        sgd.average_accuracy.mean,
        100.0 * sgd_forgets.mean,
        100.0 * tag_forgets.mean,
        (b - a).abs(),
        classes(PLAIN.name),
        classes("er"),
        classes("er-ace"),
    )
}
