//! Which classes make a task.
//!
//! Owns the keys below `[tasks]`: so many tasks of equally many classes, a task a source, or lists of classes, which may have
//! different lengths.

use serde::{Deserialize, Deserializer, Serialize};

use super::Source;

/// The part of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tasks {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lists"
    )]
    classes: Option<Vec<Vec<String>>>,
}

/// A class is named by a text, or by a number, which stands for the text that it is.
fn lists<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Vec<String>>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Class {
        Number(i64),
        Name(String),
    }
    let lists = Vec::<Vec<Class>>::deserialize(from)?;
    let name = |class| match class {
        Class::Number(number) => number.to_string(),
        Class::Name(name) => name,
    };
    let lists = lists.into_iter();
    Ok(Some(
        lists
            .map(|list| list.into_iter().map(name).collect())
            .collect(),
    ))
}

/// What they mean.
pub(super) struct Dealt {
    /// Classes of the joined sources in the order of the head.
    pub(super) order: Vec<usize>,
    /// Number of tasks.
    pub(super) tasks: usize,
    /// Whether the file says which classes make a task.
    pub(super) fixed: bool,
    /// Classes of each task, where the file says so.
    sizes: Vec<usize>,
}

impl Dealt {
    /// Classes of each task; none where all have equally many.
    pub(super) fn uneven(&self) -> &[usize] {
        match self.sizes.as_slice() {
            [first, rest @ ..] if rest.iter().any(|size| size != first) => &self.sizes,
            _ => &[],
        }
    }

    fn fixed(order: Vec<usize>, sizes: Vec<usize>, what: &str) -> Result<Self, String> {
        if sizes.is_empty() {
            return Err(format!("{what} must be at least one list"));
        }
        if let Some(task) = sizes.iter().position(|&size| size < 2) {
            let size = sizes.get(task).copied().unwrap_or_default();
            return Err(format!(
                "{what}: task {} has {size} class{}, and in tasks of one class whatever a network answers is right, so that \
                 their accuracy is 100 % and their loss 0; a task needs at least two classes",
                task + 1,
                if size == 1 { "" } else { "es" }
            ));
        }
        Ok(Self {
            order,
            tasks: sizes.len(),
            fixed: true,
            sizes,
        })
    }
}

/// What each class of the joined sources may be called in `tasks.classes`: `SOURCE/NUMBER` or `SOURCE/NAME` first.
fn names_of(sources: &[Source], classes: &[Vec<String>]) -> Vec<Vec<String>> {
    let of_source = |(source, classes): (&Source, &Vec<String>)| {
        let known = source.known_names();
        let of_class = |(index, class): (usize, &String)| {
            let known = known.get(index).filter(|name| *name != class);
            let names = std::iter::once(class).chain(known);
            names
                .flat_map(|name| [format!("{}/{name}", source.name), name.clone()])
                .collect()
        };
        classes
            .iter()
            .enumerate()
            .map(of_class)
            .collect::<Vec<Vec<String>>>()
    };
    sources.iter().zip(classes).flat_map(of_source).collect()
}

/// The classes of these names, each once.
fn named(lists: &[Vec<String>], names: &[Vec<String>]) -> Result<Vec<usize>, String> {
    let mut order = Vec::new();
    for wanted in lists.iter().flatten() {
        let found: Vec<usize> = (0..names.len())
            .filter(|&i| names.get(i).is_some_and(|names| names.contains(wanted)))
            .collect();
        match found.as_slice() {
            [class] if !order.contains(class) => order.push(*class),
            [_] => return Err(format!("tasks.classes names `{wanted}` twice")),
            [] => {
                let known: Vec<_> = names
                    .iter()
                    .take(30)
                    .filter_map(|names| names.first().map(String::as_str))
                    .collect();
                return Err(format!(
                    "tasks.classes: there is no class `{wanted}`; known: {}",
                    known.join(", ")
                ));
            }
            _ => {
                return Err(format!(
                    "tasks.classes: several sources have a class `{wanted}`; write SOURCE/{wanted}"
                ));
            }
        }
    }
    Ok(order)
}

impl Tasks {
    /// What the keys mean for sources with these classes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn deal(
        &self,
        sources: &[Source],
        classes: &[Vec<String>],
    ) -> Result<Dealt, String> {
        let total: usize = classes.iter().map(Vec::len).sum();
        match (self.count, self.by.as_deref(), &self.classes) {
            (Some(count), None, None) => {
                if count > 0 && total == count {
                    return Err(format!(
                        "{count} tasks of {total} classes are tasks of one class: whatever a network answers within such a \
                         task is right, so that its accuracy is 100 % and its loss 0; a task needs at least two classes"
                    ));
                }
                Ok(Dealt {
                    order: (0..total).collect(),
                    tasks: count,
                    fixed: false,
                    sizes: Vec::new(),
                })
            }
            (None, Some("source"), None) => {
                let sizes = classes.iter().map(Vec::len).collect();
                Dealt::fixed((0..total).collect(), sizes, "sources that make a task each")
            }
            (None, None, Some(lists)) => {
                let order = named(lists, &names_of(sources, classes))?;
                Dealt::fixed(order, lists.iter().map(Vec::len).collect(), "tasks.classes")
            }
            _ => Err(
                "[tasks] must have one of count = N, by = \"source\" or classes = [[...], ...]"
                    .to_owned(),
            ),
        }
    }
}
