//! Pieces of schema that several types share.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A map of short strings, as Azure bounds tags: values of at most 256 characters. The number of entries is bounded
/// where the map is used.
pub(crate) fn bounded_string_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "additionalProperties": {"type": "string", "maxLength": 256}})
}
