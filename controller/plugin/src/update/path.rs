//! A property path: names with dots, items by index (`zones[0]`) or by one of their fields (`extensions[name=app]`).
//! A path that begins neither with `spec` nor with `metadata` is inside `spec`.

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Property(String),
    Index(usize),
    Item { field: String, value: String },
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if !name.is_empty() {
                steps.push(Step::Property(name.to_owned()));
            }
            rest = match after.strip_prefix('[') {
                Some(inside) => {
                    let (selector, after) = inside.split_once(']').with_context(|| format!("{text}: ] is missing"))?;
                    steps.push(
                        selected(selector)
                            .with_context(|| format!("{text}: [{selector}] is no index or FIELD=VALUE"))?,
                    );
                    after.strip_prefix('.').unwrap_or(after)
                }
                None => after.strip_prefix('.').unwrap_or(after),
            };
        }
        match steps.first() {
            Some(Step::Property(first)) if first == "spec" || first == "metadata" => {}
            Some(Step::Property(_)) => steps.insert(0, Step::Property("spec".to_owned())),
            Some(Step::Index(_) | Step::Item { .. }) | None => {
                bail!("{text:?} is no path like virtualMachineProfile.vmSize")
            }
        }
        Ok(Self(steps))
    }

    pub(super) fn get<'value>(&self, root: &'value Value) -> Option<&'value Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Property(name) => value.get(name),
            Step::Index(index) => value.get(index),
            Step::Item { field, value: wanted } => value.as_array()?.iter().find(|item| has(item, field, wanted)),
        })
    }

    /// Objects on the way that are missing are made.
    pub(super) fn set(&self, root: &mut Value, value: Value) -> anyhow::Result<()> {
        *self.reach(root, self.0.len())? = value;
        Ok(())
    }

    /// A list that is missing is made.
    pub(super) fn append(&self, root: &mut Value, item: Value) -> anyhow::Result<()> {
        let place = self.reach(root, self.0.len())?;
        if place.is_null() {
            *place = json!([]);
        }
        let told = self.told(self.0.len());
        place.as_array_mut().with_context(|| format!("{told}: is no list; use --set"))?.push(item);
        Ok(())
    }

    pub(super) fn remove(&self, root: &mut Value) -> anyhow::Result<()> {
        let told = self.told(self.0.len());
        if self.get(root).is_none() {
            bail!("{told}: there is no such property");
        }
        let (last, _) = self.0.split_last().context("a path has steps")?;
        let parent = self.reach(root, self.0.len() - 1)?;
        match last {
            Step::Property(name) => drop(parent.as_object_mut().and_then(|object| object.remove(name))),
            Step::Index(index) => drop(parent.as_array_mut().map(|list| list.remove(*index))),
            Step::Item { field, value } => {
                if let Some(list) = parent.as_array_mut() {
                    list.retain(|item| !has(item, field, value));
                }
            }
        }
        Ok(())
    }

    /// The value after the first `steps` steps.
    fn reach<'value>(&self, root: &'value mut Value, steps: usize) -> anyhow::Result<&'value mut Value> {
        let mut value = root;
        for (index, step) in self.0.iter().enumerate().take(steps) {
            let told = self.told(index + 1);
            value = match step {
                Step::Property(name) => {
                    if value.is_null() {
                        *value = json!({});
                    }
                    let object =
                        value.as_object_mut().with_context(|| format!("{told}: its parent has no properties"))?;
                    object.entry(name.clone()).or_insert(Value::Null)
                }
                Step::Index(index) => {
                    let list = value.as_array_mut().with_context(|| format!("{told}: is no list"))?;
                    let length = list.len();
                    list.get_mut(*index).with_context(|| format!("{told}: the list has {length} items"))?
                }
                Step::Item { field, value: wanted } => {
                    let list = value.as_array_mut().with_context(|| format!("{told}: is no list"))?;
                    let there_are: Vec<String> = list.iter().map(|item| text(&item[field.as_str()])).collect();
                    let found = list.iter_mut().find(|item| has(item, field, wanted));
                    found.with_context(|| {
                        format!("{told}: no item has {field} {wanted}; there are: {}", there_are.join(", "))
                    })?
                }
            };
        }
        Ok(value)
    }

    /// The first `steps` steps as they are typed.
    fn told(&self, steps: usize) -> String {
        let mut told = String::new();
        for step in self.0.iter().take(steps) {
            match step {
                Step::Property(name) if told.is_empty() => told.push_str(name),
                Step::Property(name) => told.extend([".", name]),
                Step::Index(index) => told.extend(["[", &index.to_string(), "]"]),
                Step::Item { field, value } => told.extend(["[", field, "=", value, "]"]),
            }
        }
        told
    }
}

fn selected(selector: &str) -> Option<Step> {
    if let Ok(index) = selector.parse() {
        return Some(Step::Index(index));
    }
    let (field, value) = selector.split_once('=')?;
    Some(Step::Item { field: field.to_owned(), value: value.trim_matches('"').to_owned() })
}

fn has(item: &Value, field: &str, wanted: &str) -> bool {
    text(&item[field]) == wanted
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
