//! Whose values a rule compares (Azure: `ScaleRuleMetricDimension`). VMs of a set have one dimension, their name.

use std::collections::BTreeSet;

use scaleset_crds::autoscale_setting::{DimensionOperator, MetricDimension};

use crate::wording::some_names;

/// The only dimension.
const VM_NAME: &str = "VMName";

/// VMs of a set, by the names of their objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Among {
    /// All of them.
    #[default]
    All,
    /// Those that have one of the names.
    Named(BTreeSet<String>),
    /// Those that have none of the names.
    NotNamed(BTreeSet<String>),
}

impl Among {
    /// What the dimensions of a trigger narrow it down to, or what is wrong with them. The schema refuses the same.
    pub fn of(dimensions: &[MetricDimension]) -> Result<Self, String> {
        let [first, others @ ..] = dimensions else { return Ok(Self::All) };
        let unknown = dimensions.iter().find(|dimension| dimension.dimension_name != VM_NAME);
        if let Some(MetricDimension { dimension_name, operator: _, values: _ }) = unknown {
            return Err(format!("{dimension_name} is no dimension of VMs of a set, there is {VM_NAME}"));
        }
        if !others.is_empty() {
            return Err(format!("{VM_NAME} stands there {} times, give it once", dimensions.len()));
        }
        let names = first.values.iter().cloned().collect();
        Ok(match first.operator {
            DimensionOperator::Equals => Self::Named(names),
            DimensionOperator::NotEquals => Self::NotNamed(names),
        })
    }

    /// A metric of these VMs, in words.
    pub(super) fn told(&self, metric: &str) -> String {
        let names = |names: &BTreeSet<String>| some_names(&names.iter().map(String::as_str).collect::<Vec<&str>>());
        match self {
            Self::All => metric.to_owned(),
            Self::Named(those) => format!("{metric} of {}", names(those)),
            Self::NotNamed(those) => format!("{metric} of all but {}", names(those)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimension(name: &str, operator: DimensionOperator, values: &[&str]) -> MetricDimension {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        MetricDimension { dimension_name: name.to_owned(), operator, values }
    }

    #[test]
    fn dimensions_name_vms() {
        let told = |dimensions: &[MetricDimension]| Among::of(dimensions).map(|among| among.told("Percentage CPU"));
        let (equals, differs) = (DimensionOperator::Equals, DimensionOperator::NotEquals);
        let known = |said: &str| Ok(said.to_owned());
        assert_eq!(told(&[]), known("Percentage CPU"));
        let two = dimension("VMName", equals, &["web-1", "web-0"]);
        assert_eq!(told(std::slice::from_ref(&two)), known("Percentage CPU of web-0, web-1"));
        assert_eq!(told(&[dimension("VMName", differs, &["web-0"])]), known("Percentage CPU of all but web-0"));
        let other = "Slot is no dimension of VMs of a set, there is VMName".to_owned();
        assert_eq!(told(&[two.clone(), dimension("Slot", equals, &["a"])]), Err(other));
        assert_eq!(told(&[two.clone(), two]), Err("VMName stands there 2 times, give it once".to_owned()));
    }
}
