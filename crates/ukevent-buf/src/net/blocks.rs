//! Where an allocator's blocks are: cut from regions, found by size, joined when they come back.
//!
//! A region is a row of blocks without gaps, each of which knows the one before and the one after. A
//! request takes the smallest free block that will do, from its lower end; what is left of the block
//! stays free. A block that comes back is joined with free neighbours at once, so no two free blocks
//! ever lie side by side, and a region of which nothing is lent is one free block.

use super::bins::{Lists, bin_of, is_exact};
use crate::arena::{Account, LINE_BYTES, Stretch};
use crate::entry::{Entry, Links, Origin};
use crate::guard::{self, CHECKED, FENCE_BYTES, Marks};
use crate::home::{Home, Lookout, Shelf};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// Empty regions that are kept when others could have them: one, or every request and return of a
/// single block would be a trip to the arena.
const KEPT_REGIONS: u32 = 1;

/// No block.
const NONE: u32 = u32::MAX;

// What a block's entry says of it; also the canary that freeing checks, so no likely numbers.
const VACANT: u16 = 0;
const FREE: u16 = 0x6672;
const LENT: u16 = 0x6c65;

/// What every thread may know of an allocator.
pub(crate) struct BlockSide {
    entries: *const Entry,
    entries_count: usize,
    pub(super) account: Account,
}

// SAFETY: an entry's own rules say who may touch what of it.
unsafe impl Send for BlockSide {}
// SAFETY: as above.
unsafe impl Sync for BlockSide {}

impl BlockSide {
    /// # Safety
    /// `entries` are those of the arena's table.
    pub(super) unsafe fn new(account: Account, (entries, count): (*const Entry, usize)) -> Self {
        Self { entries, entries_count: count, account }
    }

    pub(crate) fn arena_base(&self) -> NonNull<u8> {
        self.account.arena().base()
    }

    /// The entry of a block.
    #[inline(always)]
    pub(super) fn entry(&self, id: u32) -> &Entry {
        debug_assert!((id as usize) < self.entries_count, "an entry of the table");
        // SAFETY: ids are indexes of the table, which the account's arena keeps.
        unsafe { &*self.entries.add(id as usize) }
    }

    /// The number of the line of the arena that begins there.
    fn line_at(&self, base: *mut u8) -> usize {
        (base.addr() - self.arena_base().addr().get()) / LINE_BYTES
    }
}

/// Entries of a region that stand for no block.
#[derive(Clone, Copy)]
struct Vacant {
    /// The first of a list of those that once did.
    first: u32,
    /// The first of those that never did.
    fresh: u32,
}

/// The blocks of an allocator.
pub(crate) struct Blocks {
    /// The free blocks by their sizes.
    lists: Lists,
    /// By their place in the arena: those that are held, and their entries that are not used.
    regions: Box<[Option<Stretch>]>,
    vacant: Box<[Vacant]>,
    /// A region has 1 << this lines.
    region_shift: u32,
    pub(super) region_lines: u32,
    /// Regions that are one free block.
    empty: u32,
    look: Lookout,
    /// As in the side.
    entries: *const Entry,
    /// For the checks: which lines were filled when they came back.
    filled: Marks,
}

// SAFETY: what the shelf's entries are to a thread goes with the shelf.
unsafe impl Send for Blocks {}

/// A block that is wanted.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// Who lends it.
    pub(super) home: NonNull<Home<Blocks>>,
    pub(super) lines: u32,
    /// How many bytes of it, headroom included.
    pub(super) asked: usize,
    pub(super) headroom: usize,
}

/// How many lines a request takes.
#[inline(always)]
pub(super) const fn lines_for(bytes: usize) -> usize {
    let lines = bytes.div_ceil(LINE_BYTES) + FENCE_BYTES / LINE_BYTES;
    // One at least: a block has a place in its region.
    if lines == 0 { 1 } else { lines }
}

/// How many bytes of so many lines can be used.
#[inline(always)]
const fn capacity_of(lines: u32) -> usize {
    lines as usize * LINE_BYTES - FENCE_BYTES
}

#[inline(always)]
fn lines_of(block: &Entry) -> u32 {
    ((block.capacity.get() + FENCE_BYTES) / LINE_BYTES) as u32
}

impl Blocks {
    pub(super) fn new(side: &BlockSide) -> Self {
        let arena = side.account.arena();
        let count = arena.bytes() / arena.region_bytes();
        Self {
            lists: Lists::new(),
            regions: (0..count).map(|_| None).collect(),
            vacant: vec![Vacant { first: NONE, fresh: 0 }; count].into(),
            region_shift: (arena.region_bytes() / LINE_BYTES).trailing_zeros(),
            region_lines: (arena.region_bytes() / LINE_BYTES) as u32,
            empty: 0,
            look: Lookout::default(),
            entries: side.entries,
            filled: Marks::new(arena.bytes() / LINE_BYTES),
        }
    }

    /// The entry of a block of a region that is held. Its lifetime is not that of the borrow, so that
    /// lists can be changed meanwhile; no caller keeps it.
    #[inline(always)]
    fn at<'a>(&self, id: u32) -> &'a Entry {
        debug_assert!(
            self.regions[(id >> self.region_shift) as usize].is_some(),
            "a block of a region that is held"
        );
        // SAFETY: ids are indexes of the table, which the arena keeps for longer than any allocator
        // lives.
        unsafe { &*self.entries.add(id as usize) }
    }

    /// Whether it is time to look what others gave back.
    #[inline(always)]
    pub(super) fn is_look_due(&mut self) -> bool {
        self.look.is_due()
    }

    /// Takes a block.
    #[inline(always)]
    pub(super) fn take(&mut self, side: &BlockSide, request: Request) -> Option<NonNull<Entry>> {
        let lines = request.lines;
        let (found, bin) = self.find(lines)?;
        let whole = lines_of(found);
        self.empty -= u32::from(whole == self.region_lines);
        let block = if whole == lines {
            self.unlink(found, bin);
            found
        } else {
            self.cut(request.home, found, bin, lines)
        };
        block.state.set(LENT);
        block.slack.set((capacity_of(lines) - request.asked) as u16);
        block.set_span(request.headroom, 0);
        side.account.set_count(side.account.count() + lines as usize);
        if CHECKED {
            self.check_taken(side, block);
        }
        Some(NonNull::from(block))
    }

    /// The smallest free block of at least so many lines.
    #[inline(always)]
    fn find<'a>(&self, lines: u32) -> Option<(&'a Entry, usize)> {
        let own = bin_of(lines);
        let bin = self.lists.occupied.first_from(own)?;
        if bin > own || is_exact(bin) {
            return Some((Self::of_links(self.lists.first(bin)), bin));
        }
        self.find_among_similar(own, lines)
    }

    /// The blocks of this list may be a little smaller. There are few: none is below 32 KiB.
    #[inline(never)]
    fn find_among_similar<'a>(&self, own: usize, lines: u32) -> Option<(&'a Entry, usize)> {
        let found = self.walk(own).find(|&block| lines_of(block) >= lines).map(|it| (it, own));
        found.or_else(|| {
            let bin = self.lists.occupied.first_from(own + 1)?;
            Some((Self::of_links(self.lists.first(bin)), bin))
        })
    }

    /// The free blocks of a list.
    fn walk<'a>(&self, bin: usize) -> impl Iterator<Item = &'a Entry> {
        self.lists.iter(bin).map(Self::of_links)
    }

    /// The block whose links these are.
    #[inline(always)]
    fn of_links<'a>(links: *const Links) -> &'a Entry {
        // SAFETY: what is in the lists is links of entries of the table, put in by way of those; for
        // how long, see `at`.
        unsafe { &*Entry::of_links(links) }
    }

    /// The number of a block.
    #[inline(always)]
    fn id_of(&self, block: &Entry) -> u32 {
        // SAFETY: an entry of the table.
        unsafe { std::ptr::from_ref(block).offset_from(self.entries) as u32 }
    }

    /// Cuts so many lines from the lower end of a free block, and makes a block of them. What is left
    /// keeps its entry, and often its list.
    #[inline(always)]
    fn cut<'a>(
        &mut self,
        home: NonNull<Home<Self>>,
        block: &Entry,
        bin: usize,
        lines: u32,
    ) -> &'a Entry {
        let found = self.id_of(block);
        let id = self.new_entry(home, found >> self.region_shift);
        let part = self.at(id);
        let before = block.before.get();
        part.base.set(block.base.get());
        part.capacity.set(capacity_of(lines));
        part.before.set(before);
        part.after.set(found);
        if before != NONE {
            self.at(before).after.set(id);
        }
        block.before.set(id);
        let bytes = lines as usize * LINE_BYTES;
        // SAFETY: the block has more than so many lines.
        block.base.set(unsafe { block.base.get().add(bytes) });
        block.capacity.set(block.capacity.get() - bytes);
        self.relist(block, bin);
        part
    }

    /// Puts a free block that is in one list in that of its size.
    #[inline(always)]
    fn relist(&mut self, block: &Entry, from: usize) {
        let to = bin_of(lines_of(block));
        if from != to {
            self.unlink(block, from);
            self.link(block, to);
        }
    }

    #[inline(always)]
    fn link(&mut self, block: &Entry, bin: usize) {
        block.state.set(FREE);
        // SAFETY: an entry of the table, of a block that is in no list.
        unsafe { self.lists.link(bin, &block.links) };
    }

    #[inline(always)]
    fn unlink(&mut self, block: &Entry, bin: usize) {
        debug_assert_eq!(block.state.get(), FREE, "what is in a list is free");
        // SAFETY: free, and so in the list of its size.
        unsafe { self.lists.unlink(bin, &block.links) };
    }

    /// An entry of the region of this number.
    #[inline(always)]
    fn new_entry(&mut self, home: NonNull<Home<Self>>, number: u32) -> u32 {
        let vacant = self.vacant[number as usize];
        if vacant.first == NONE {
            return self.fresh_entry(home, number);
        }
        self.vacant[number as usize].first = self.at(vacant.first).len() as u32;
        vacant.first
    }

    #[inline(never)]
    fn fresh_entry(&mut self, home: NonNull<Home<Self>>, number: u32) -> u32 {
        // There are as many entries as lines, and each block has a line.
        let id = self.vacant[number as usize].fresh;
        self.vacant[number as usize].fresh = id + 1;
        self.at(id).origin.set(Origin::Block(id, home));
        id
    }

    #[inline(always)]
    fn vacate(&mut self, id: u32, block: &Entry) {
        let vacant = &mut self.vacant[(id >> self.region_shift) as usize];
        block.state.set(VACANT);
        block.set_span(0, vacant.first as usize);
        vacant.first = id;
    }

    /// Joins a block that is in no list with its free neighbours, and puts what that makes in the list
    /// of its size; the size.
    #[inline(always)]
    fn join(&mut self, mut id: u32, mut block: &Entry) -> u32 {
        let (before, after) = (block.before.get(), block.after.get());
        let mut whole = lines_of(block);
        // The list that `block` is in, if it is in one.
        let mut listed = None;
        if self.is_free(after) {
            let upper = self.at(after);
            let lines = lines_of(upper);
            listed = Some(bin_of(lines));
            whole += lines;
            upper.base.set(block.base.get());
            self.connect(before, after);
            self.vacate(id, block);
            (id, block) = (after, upper);
        }
        if self.is_free(before) {
            let lower = self.at(before);
            if let Some(bin) = listed {
                self.unlink(block, bin);
            }
            let lines = lines_of(lower);
            listed = Some(bin_of(lines));
            whole += lines;
            self.connect(before, block.after.get());
            self.vacate(id, block);
            block = lower;
        }
        block.capacity.set(capacity_of(whole));
        match listed {
            Some(bin) => self.relist(block, bin),
            None => self.link(block, bin_of(whole)),
        }
        whole
    }

    #[inline(always)]
    fn is_free(&self, id: u32) -> bool {
        id != NONE && self.at(id).state.get() == FREE
    }

    /// Makes two blocks neighbours.
    #[inline(always)]
    fn connect(&self, before: u32, after: u32) {
        if before != NONE {
            self.at(before).after.set(after);
        }
        if after != NONE {
            self.at(after).before.set(before);
        }
    }

    /// Takes a region in.
    pub(super) fn add_region(&mut self, home: NonNull<Home<Self>>, stretch: Stretch) {
        let id = (stretch.offset() / LINE_BYTES) as u32;
        let base = stretch.base().as_ptr();
        let number = (id >> self.region_shift) as usize;
        self.regions[number] = Some(stretch);
        // The first stands for all of it.
        self.vacant[number] = Vacant { first: NONE, fresh: id };
        self.fresh_entry(home, number as u32);
        let block = self.at(id);
        block.base.set(base);
        block.capacity.set(capacity_of(self.region_lines));
        block.before.set(NONE);
        block.after.set(NONE);
        self.link(block, bin_of(self.region_lines));
        self.empty += 1;
    }

    /// Lets go of an empty region, if there are more than `kept`.
    pub(super) fn remove_region(&mut self, kept: u32) -> Option<Stretch> {
        if self.empty <= kept {
            return None;
        }
        let (bin, whole) = (bin_of(self.region_lines), self.region_lines);
        let block = self.walk(bin).find(|block| lines_of(block) == whole)?;
        self.unlink(block, bin);
        self.empty -= 1;
        let number = self.id_of(block) >> self.region_shift;
        if CHECKED {
            // The next who has the region may write it.
            for line in 0..whole {
                self.filled.remove(((number << self.region_shift) + line) as usize);
            }
        }
        self.regions[number as usize].take()
    }

    fn check_taken(&mut self, side: &BlockSide, block: &Entry) {
        let base = NonNull::new(block.base.get()).expect("a block is somewhere");
        let first = side.line_at(block.base.get());
        let last = first + lines_of(block) as usize;
        let mut line = first;
        while line < last {
            // As long a run as there is: it is one comparison.
            let begin = line;
            while line < last && self.filled.remove(line) {
                line += 1;
            }
            // SAFETY: lines of a block that is free until now.
            unsafe {
                let run = base.add((begin - first) * LINE_BYTES);
                guard::check_poison(run, (line - begin) * LINE_BYTES);
            }
            line += usize::from(line == begin);
        }
        // SAFETY: the last line of the block, which its user is not told of.
        unsafe { guard::raise_fence(base.add(block.capacity.get())) };
    }

    /// How much there is of what. Looks at every block: for people and tests.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (number, _) in (0..).zip(&self.regions).filter(|(_, region)| region.is_some()) {
            counts.held_bytes += self.region_lines as usize * LINE_BYTES;
            for id in number << self.region_shift..self.vacant[number as usize].fresh {
                let block = self.at(id);
                let bytes = lines_of(block) as usize * LINE_BYTES;
                match block.state.get() {
                    LENT => {
                        counts.lent += 1;
                        counts.lent_bytes += bytes;
                        counts.slack_bytes += usize::from(block.slack.get());
                    }
                    FREE => {
                        counts.free += 1;
                        counts.largest_free_bytes = counts.largest_free_bytes.max(bytes);
                    }
                    _ => {}
                }
            }
        }
        counts
    }
}

/// How much there is of what.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) lent: u32,
    pub(super) free: u32,
    pub(super) lent_bytes: usize,
    pub(super) slack_bytes: usize,
    pub(super) held_bytes: usize,
    pub(super) largest_free_bytes: usize,
}

impl Shelf for Blocks {
    type Side = BlockSide;
    type Surplus = Stretch;

    #[inline]
    fn put(&mut self, side: &BlockSide, id: u32) {
        let block = self.at(id);
        debug_assert_eq!(block.state.get(), LENT, "double free: block {id} is not lent");
        side.account.set_count(side.account.count() - lines_of(block) as usize);
        if CHECKED {
            let first = side.line_at(block.base.get());
            for line in first..first + block.capacity.get() / LINE_BYTES {
                self.filled.insert(line);
            }
        }
        self.empty += u32::from(self.join(id, block) == self.region_lines);
    }

    fn lent(&self, _: &BlockSide) -> u32 {
        self.counts().lent
    }

    fn link(side: &BlockSide, id: u32, below: u32) {
        side.entry(id).count.store(below, Ordering::Relaxed);
    }

    fn linked(side: &BlockSide, id: u32) -> u32 {
        side.entry(id).count.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn surplus(&mut self) -> Option<Stretch> {
        if self.empty <= KEPT_REGIONS { None } else { self.remove_region(KEPT_REGIONS) }
    }
}

#[cfg(test)]
mod tests;
