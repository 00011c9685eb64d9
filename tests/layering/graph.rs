//! Which file of `src` uses which: the paths in the code, read by a parser of Rust, each followed to the file that has what it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use syn::visit::{self, Visit};
use syn::{ItemMod, ItemUse, UseTree, VisRestricted, Visibility};

/// A module by its parts: `["actors", "cell"]` is `src/actors/cell.rs` or `src/actors/cell/mod.rs`.
pub(crate) type Module = Vec<String>;

/// The modules of the crate and which other ones each uses; tests apart.
pub(crate) struct Graph(pub(crate) BTreeMap<Module, BTreeSet<Module>>);

/// What one file says.
#[derive(Default)]
struct File {
    /// The paths that it uses.
    used: Vec<Vec<String>>,
    /// The names that it gives on, each with the path that it has them from.
    given_on: BTreeMap<String, Vec<String>>,
}

impl Graph {
    pub(crate) fn read(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        read_folder(src, &Module::new(), &mut files);
        let mut graph = BTreeMap::new();
        for (module, file) in &files {
            let home = if matches!(module.as_slice(), [root] if root == "lib" || root == "main") { &[][..] } else { module.as_slice() };
            let paths = file.used.iter().filter_map(|path| absolute(home, path, &files));
            let uses = paths.filter_map(|path| owner(path, &files, 0)).filter(|used| used != module);
            graph.insert(module.clone(), uses.collect());
        }
        Self(graph)
    }

    /// The modules that use each other, directly or over others, by ring.
    pub(crate) fn rings(&self) -> Vec<BTreeSet<&Module>> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> = self.0.keys().map(|module| (module, self.reached_from(module))).collect();
        let mut rings = BTreeSet::new();
        for (module, reaches) in &reached {
            let ring: BTreeSet<&Module> =
                reaches.iter().copied().filter(|other| reached.get(*other).is_some_and(|back| back.contains(module))).collect();
            if ring.len() > 1 {
                rings.insert(ring);
            }
        }
        rings.into_iter().collect()
    }

    fn reached_from<'a>(&'a self, module: &'a Module) -> BTreeSet<&'a Module> {
        let mut reached = BTreeSet::new();
        let mut next = vec![module];
        while let Some(module) = next.pop() {
            next.extend(self.0.get(module).into_iter().flatten().filter(|used| reached.insert(*used)));
        }
        reached
    }
}

fn read_folder(folder: &Path, module: &Module, files: &mut BTreeMap<Module, File>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry of the folder").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let inner = if name == "mod" { module.clone() } else { [module.as_slice(), std::slice::from_ref(&name)].concat() };
        if path.is_dir() {
            read_folder(&path, &inner, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" && !name.starts_with("tests_") {
            let text = fs::read_to_string(&path).expect("a readable file");
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut file = File::default();
            file.visit_file(&parsed);
            files.insert(inner, file);
        }
    }
}

impl<'ast> Visit<'ast> for File {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut paths = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut paths);
        match item.vis {
            Visibility::Inherited => self.used.extend(paths.into_iter().map(|(path, _)| path)),
            Visibility::Public(_) | Visibility::Restricted(_) => self.given_on.extend(paths.into_iter().map(|(path, name)| (name, path))),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.used.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
        });
        if !is_test {
            visit::visit_item_mod(self, item);
        }
    }

    /// Who may see a thing is no use of anything.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}

/// The paths of a `use`, each with the name that it has from then on.
fn flatten(tree: &UseTree, before: &mut Vec<String>, paths: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, paths);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => paths.push((before.clone(), before.last().cloned().unwrap_or_default())),
        UseTree::Name(name) => {
            paths.push(([before.as_slice(), &[name.ident.to_string()]].concat(), name.ident.to_string()));
        }
        UseTree::Rename(rename) => {
            paths.push(([before.as_slice(), &[rename.ident.to_string()]].concat(), rename.rename.to_string()));
        }
        UseTree::Glob(_) => paths.push((before.clone(), String::new())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, paths)),
    }
}

/// The path from the crate's root; none where it does not begin in the crate.
fn absolute(home: &[String], path: &[String], files: &BTreeMap<Module, File>) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([home, rest].concat()),
        "super" => {
            let (_, above) = home.split_last()?;
            if rest.first().is_some_and(|next| next == "super") { absolute(above, rest, files) } else { Some([above, rest].concat()) }
        }
        child => {
            let inner = [home, &[child.to_owned()]].concat();
            files.contains_key(&inner).then(|| [home, path].concat())
        }
    }
}

/// The module that has what the path names.
fn owner(path: Vec<String>, files: &BTreeMap<Module, File>, depth: usize) -> Option<Module> {
    let (module, name) = (1..=path.len()).rev().find_map(|end| {
        let (module, rest) = path.split_at(end);
        files.contains_key(module).then(|| (module.to_vec(), rest.to_vec()))
    })?;
    let given_on = name.first().and_then(|first| files.get(&module)?.given_on.get(first));
    match given_on.and_then(|from| absolute(&module, from, files)) {
        Some(from) if depth < 8 => owner([from, name.into_iter().skip(1).collect()].concat(), files, depth + 1),
        Some(_) | None => Some(module),
    }
}
