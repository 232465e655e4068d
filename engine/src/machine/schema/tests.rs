#![allow(clippy::unwrap_used)]

use super::*;

fn compiled(schema: &str) -> Result<Schema, Vec<SchemaFault>> {
    Schema::compile(&JsonTree::parse(schema.as_bytes()).unwrap(), &mut 0)
}

/// The path and the rule that a document breaks.
fn broken(schema: &str, document: &str) -> Option<(String, String)> {
    let schema = compiled(schema).unwrap_or_else(|faults| panic!("{schema}: {faults:?}"));
    match schema.check(document, &mut EvalSteps::default()) {
        Ok(()) => None,
        Err(Misfit::Broken { path, rule, .. }) => Some((path, rule)),
        Err(Misfit::Limit) => panic!("{document} takes too many steps"),
    }
}

#[test]
fn each_keyword_accepts_what_fits_and_names_the_place_of_what_does_not() {
    for (schema, fits, not, path, rule) in [
        (r#"{"type":"integer"}"#, "1.0", "1.5", "", "type"),
        (r#"{"type":["string","null"]}"#, "null", "1", "", "type"),
        (
            r#"{"enum":[1,"a",{"x":[1.0]}]}"#,
            r#"{"x":[1]}"#,
            r#""b""#,
            "",
            "enum",
        ),
        (
            r#"{"const":{"a":1,"b":2}}"#,
            r#"{"b":2,"a":1.0}"#,
            "{}",
            "",
            "const",
        ),
        (
            r#"{"multipleOf":0.01}"#,
            "129.90",
            "129.905",
            "",
            "multipleOf",
        ),
        (r#"{"multipleOf":3}"#, "9e2", "1e2", "", "multipleOf"),
        (
            r#"{"maximum":10}"#,
            "10",
            "10.000000000000000000001",
            "",
            "maximum",
        ),
        (
            r#"{"exclusiveMaximum":10}"#,
            "9.99",
            "1e1",
            "",
            "exclusiveMaximum",
        ),
        (r#"{"minimum":-1}"#, "-1", "-1.5", "", "minimum"),
        (
            r#"{"exclusiveMinimum":0}"#,
            "0.1",
            "0",
            "",
            "exclusiveMinimum",
        ),
        (r#"{"maxLength":2}"#, r#""éé""#, r#""abc""#, "", "maxLength"),
        (r#"{"minLength":2}"#, r#""éé""#, r#""a""#, "", "minLength"),
        (r#"{"pattern":"^a+$"}"#, r#""aa""#, r#""ab""#, "", "pattern"),
        (r#"{"maxItems":1}"#, "[1]", "[1,2]", "", "maxItems"),
        (r#"{"minItems":1}"#, "[1]", "[]", "", "minItems"),
        (
            r#"{"uniqueItems":true}"#,
            "[1,2]",
            "[1,1.0]",
            "",
            "uniqueItems",
        ),
        (
            r#"{"maxProperties":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"b":2}"#,
            "",
            "maxProperties",
        ),
        (
            r#"{"minProperties":1}"#,
            r#"{"a":1}"#,
            "{}",
            "",
            "minProperties",
        ),
        (
            r#"{"required":["a"]}"#,
            r#"{"a":null}"#,
            "{}",
            "",
            "required",
        ),
        (
            r#"{"dependentRequired":{"a":["b"]}}"#,
            "{}",
            r#"{"a":1}"#,
            "",
            "dependentRequired",
        ),
        (
            r#"{"dependentSchemas":{"a":{"minProperties":2}}}"#,
            "{}",
            r#"{"a":1}"#,
            "",
            "minProperties",
        ),
        (
            r#"{"properties":{"a":{"type":"string"}}}"#,
            r#"{"b":1}"#,
            r#"{"a":1}"#,
            "/a",
            "type",
        ),
        (
            r#"{"patternProperties":{"^x":{"type":"null"}}}"#,
            r#"{"a":1}"#,
            r#"{"x/y":1}"#,
            "/x~1y",
            "type",
        ),
        (
            r#"{"properties":{"a":true},"patternProperties":{"^x":true},"additionalProperties":false}"#,
            r#"{"a":1,"x1":2}"#,
            r#"{"b":1}"#,
            "/b",
            "additionalProperties",
        ),
        (
            r#"{"propertyNames":{"maxLength":1}}"#,
            r#"{"a":1}"#,
            r#"{"ab":1}"#,
            "/ab",
            "maxLength",
        ),
        (
            r#"{"prefixItems":[{"type":"string"}],"items":false}"#,
            r#"["a"]"#,
            r#"["a",1]"#,
            "/1",
            "false",
        ),
        (
            r#"{"items":{"type":"integer"}}"#,
            "[1,2]",
            "[1,[]]",
            "/1",
            "type",
        ),
        (
            r#"{"contains":{"const":1}}"#,
            "[0,1]",
            "[0]",
            "",
            "contains",
        ),
        (
            r#"{"contains":{"const":1},"minContains":0,"maxContains":1}"#,
            "[]",
            "[1,1]",
            "",
            "maxContains",
        ),
        (
            r#"{"allOf":[{"minimum":1},{"maximum":2}]}"#,
            "2",
            "3",
            "",
            "maximum",
        ),
        (
            r#"{"anyOf":[{"const":1},{"const":2}]}"#,
            "2",
            "3",
            "",
            "anyOf",
        ),
        (
            r#"{"oneOf":[{"minimum":1},{"minimum":2}]}"#,
            "1",
            "2",
            "",
            "oneOf",
        ),
        (r#"{"not":{"type":"null"}}"#, "1", "null", "", "not"),
        (
            r#"{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}"#,
            r#"{"c":1}"#,
            r#"{"a":1}"#,
            "",
            "required",
        ),
        (
            r##"{"$defs":{"n":{"$anchor":"node","properties":{"next":{"$ref":"#node"},"v":{"type":"integer"}}}},"$ref":"#/$defs/n"}"##,
            r#"{"next":{"next":{"v":1}}}"#,
            r#"{"next":{"next":{"v":"1"}}}"#,
            "/next/next/v",
            "type",
        ),
        ("false", "", "1", "", "false"),
    ] {
        if !fits.is_empty() {
            assert_eq!(broken(schema, fits), None, "{schema} {fits}");
        }
        let expected = Some((path.to_owned(), rule.to_owned()));
        assert_eq!(broken(schema, not), expected, "{schema} {not}");
    }
}

#[test]
fn rules_of_other_types_do_not_count() {
    for schema in [
        r#"{"minimum":5}"#,
        r#"{"pattern":"^x"}"#,
        r#"{"required":["a"]}"#,
        r#"{"minItems":3}"#,
    ] {
        for document in ["null", "true", r#""x""#, "6", "{\"a\":1}", "[1,2,3]"] {
            assert_eq!(broken(schema, document), None, "{schema} {document}");
        }
    }
}

#[test]
fn faults_of_a_schema_are_told_with_their_places() {
    for (schema, place, text) in [
        ("3", "", "expected a schema"),
        (r#"{"requried":[]}"#, ".requried", "is not a keyword"),
        (r#"{"type":"int"}"#, ".type", "is not a type"),
        (
            r#"{"properties":{"a":{"minimum":"1"}}}"#,
            ".properties.a.minimum",
            "expected a number",
        ),
        (r#"{"items":[{}]}"#, ".items", "prefixItems"),
        (
            r#"{"$ref":"http://example.com/s"}"#,
            ".$ref",
            "only references inside",
        ),
        (r##"{"$ref":"#/$defs/a"}"##, ".$ref", "is not in the schema"),
        (r##"{"$ref":"#"}"##, "", "leads back to itself"),
        (
            r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"not":{"$ref":"#/$defs/a"}}}}"##,
            "",
            "leads back",
        ),
        (r#"{"pattern":"("}"#, ".pattern", "cannot be used"),
        (r#"{"multipleOf":0}"#, ".multipleOf", "must be above 0"),
        (r#"{"minLength":-1}"#, ".minLength", "not negative"),
        (
            r#"{"unevaluatedProperties":false}"#,
            ".unevaluatedProperties",
            "not supported",
        ),
        (
            r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#,
            ".$schema",
            "only",
        ),
        (r#"{"type":"null","type":"object"}"#, ".type", "twice"),
    ] {
        let faults = compiled(schema).expect_err(schema);
        assert_eq!(faults[0].0, place, "{schema}: {faults:?}");
        assert!(faults[0].1.contains(text), "{schema}: {faults:?}");
    }
    let notes = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"t","x-own":1,"format":"email"}"#;
    assert!(compiled(notes).is_ok());
}

#[test]
fn a_schema_that_looks_at_the_same_value_again_and_again_ends_within_its_steps() {
    // Each level asks the next one twice: 2^60 looks.
    let mut definitions = Vec::new();
    for level in 0..60 {
        let next = level + 1;
        definitions.push(format!(
            r##""a{level}":{{"allOf":[{{"$ref":"#/$defs/a{next}"}},{{"$ref":"#/$defs/a{next}"}}]}}"##
        ));
    }
    definitions.push(r#""a60":{"type":"object"}"#.to_owned());
    let schema = format!(
        r##"{{"$defs":{{{}}},"$ref":"#/$defs/a0"}}"##,
        definitions.join(",")
    );
    let schema = compiled(&schema).unwrap();
    assert_eq!(
        schema.check("{}", &mut EvalSteps::default()),
        Err(Misfit::Limit)
    );
    // A long chain of references is not followed without end.
    let chain: Vec<String> = (0..5000)
        .map(|at| format!(r##""c{at}":{{"$ref":"#/$defs/c{}"}}"##, at + 1))
        .collect();
    let schema = format!(
        r##"{{"$defs":{{{},"c5000":true}},"$ref":"#/$defs/c0"}}"##,
        chain.join(",")
    );
    let schema = compiled(&schema).unwrap();
    assert_eq!(
        schema.check("{}", &mut EvalSteps::default()),
        Err(Misfit::Limit)
    );
    let wide = format!("[{}1]", "1,".repeat(300_000));
    let schema = compiled(r#"{"items":{"minimum":0}}"#).unwrap();
    assert_eq!(
        schema.check(&wide, &mut EvalSteps::default()),
        Err(Misfit::Limit)
    );
}
