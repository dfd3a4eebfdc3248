'use strict';
(() => {
  const all = (selector, base = document) => [...base.querySelectorAll(selector)];
  const make = (tag, given = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), given);
    element.append(...children);
    return element;
  };
  const button = (text, onclick) => make('button', { type: 'button', onclick }, text);
  const data = JSON.parse(document.getElementById('data').textContent);
  document.documentElement.classList.add('js');

  // Tables that sort by a heading: first the way that puts the best on top.
  for (const table of all('table[data-sortable]')) {
    const heads = all('thead th', table);
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const { kind, first = 'ascending' } = head.dataset;
      const sort = () => {
        const other = first === 'ascending' ? 'descending' : 'ascending';
        const way = head.getAttribute('aria-sort') === first ? other : first;
        heads.forEach((each) => each.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', way);
        const turn = way === 'ascending' ? 1 : -1;
        const compare = (...rows) => {
          const [x, y] = rows.map((row) => row.cells[column].dataset.value);
          if (x === '' || y === '') return (x === '') - (y === '');
          return turn * (kind === 'number' ? x - y : x < y ? -1 : +(x > y));
        };
        body.append(...[...body.rows].sort(compare));
      };
      head.replaceChildren(button(head.textContent, sort));
    });
  }

  // One image, large, with all its numbers.
  const dialog = document.querySelector('dialog');
  const [title, large, answers, numbers] = ['h2', '.large .p', '.answers', '.numbers'].map((s) =>
    dialog.querySelector(s));
  let shown = null;

  const pairs = (columns, cells) => {
    const lists = new Map();
    columns.forEach(([heading, name, label], k) => {
      if (cells[k] === '–') return;
      if (!lists.has(heading)) lists.set(heading, make('dl'));
      const term = make('dt', { title: `column ${name} of scores.csv` }, label);
      lists.get(heading).append(make('div', {}, term, make('dd', {}, cells[k])));
    });
    return [...lists].map(([heading, list]) => make('section', {}, make('h3', {}, heading), list));
  };

  const bars = (outputs, target) => {
    const rows = outputs.map((text, k) => {
      const bar = make('i');
      bar.style.width = `${100 * Math.min(1, Math.max(0, Number(text.replace('−', '-')) || 0))}%`;
      const className = data.classes[k] === target ? 'asked' : '';
      const head = make('th', { scope: 'row' }, data.classes[k]);
      return make('tr', { className }, head, make('td', {}, bar), make('td', {}, text));
    });
    return make('table', {}, make('caption', {}, 'What the network answers'), ...rows);
  };

  const show = (image) => {
    shown = image;
    const address = getComputedStyle(image).backgroundImage;
    large.src = address.slice(address.indexOf('data:'), -2);
    large.alt = title.textContent = image.alt;
    answers.replaceChildren();
    numbers.replaceChildren();
    const row = data.rows[image.dataset.row];
    dialog.querySelector('.large').classList.toggle('alone', !row);
    if (!row) return;
    const [network, method, target, sample, cells, outputs] = row;
    const asked = `${data.methods[method]}, asked for ${data.targets[target]}`;
    const which = sample ? `sample ${sample}` : 'best sample';
    title.textContent = [asked, data.networks[network], which].join(' · ');
    answers.append(bars(outputs, data.targets[target]));
    numbers.append(...pairs(data.columns, cells));
    dialog.scrollTop = 0;
  };

  const step = (by) => {
    const images = all('.p', shown.closest('[data-roving]'));
    show(images[(images.indexOf(shown) + by + images.length) % images.length]);
  };

  dialog.querySelector('.previous').onclick = () => step(-1);
  dialog.querySelector('.next').onclick = () => step(1);
  dialog.onkeydown = ({ key }) => {
    if (key === 'ArrowLeft') step(-1);
    if (key === 'ArrowRight') step(1);
  };
  // Back to the image that was seen last.
  dialog.onclose = () => {
    const group = shown.closest('[data-roving]');
    all('.p', group).forEach((image) => { image.tabIndex = image === shown ? 0 : -1; });
    shown.focus();
  };
  dialog.onclick = ({ target }) => {
    if (target === dialog || target.matches('.close')) dialog.close();
  };

  // Of every group of images one is reached by Tab, the others from it by the arrows.
  const beside = (image, group, key) => {
    const images = all('.p', group);
    const row = image.closest('tr');
    const line = row ? all('.p', row) : images;
    if (key === 'Home') return line[0];
    if (key === 'End') return line[line.length - 1];
    const down = line.length;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -down, ArrowDown: down }[key];
    return by && images[images.indexOf(image) + by];
  };
  for (const group of all('[data-roving]')) {
    all('.p', group).forEach((image, k) => {
      Object.assign(image, { tabIndex: k ? -1 : 0, title: image.alt });
      image.setAttribute('role', 'button');
      image.setAttribute('aria-haspopup', 'dialog');
    });
    const open = (image) => {
      if (!image.matches('.p')) return;
      show(image);
      dialog.showModal();
    };
    group.addEventListener('click', (event) => open(event.target));
    group.addEventListener('keydown', (event) => {
      const enters = event.key === 'Enter' || event.key === ' ';
      const image = event.target;
      const next = image.matches('.p') && (enters ? image : beside(image, group, event.key));
      if (!next) return;
      event.preventDefault();
      image.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
      if (enters) open(image);
    });
  }

  // In the chart, a number is a link, and a method lights up together with its line in the list.
  const chart = document.querySelector('.chart');
  const tip = document.querySelector('.tip');
  const light = (number, mark) => {
    chart.classList.toggle('lit', number !== null);
    all('[data-method]', chart).forEach((each) =>
      each.classList.toggle('on', each.dataset.method === number));
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.closest('a').getAttribute('aria-label');
    const box = tip.parentElement.getBoundingClientRect();
    const at = mark.getBoundingClientRect();
    const left = at.left - box.left + at.width / 2 - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(0, Math.min(left, box.width - tip.offsetWidth))}px`;
    tip.style.top = `${at.bottom - box.top + 8}px`;
  };
  const watch = (each, number, mark) => {
    for (const kind of ['pointerenter', 'focusin'])
      each.addEventListener(kind, () => light(number, mark));
    for (const kind of ['pointerleave', 'focusout'])
      each.addEventListener(kind, () => light(null));
  };
  for (const row of all('.chart .legend tr[data-method]')) {
    const number = row.dataset.method;
    watch(row, number, null);
    for (const part of ['whisker', 'leader', 'sign', 'number']) {
      for (const drawn of all(`.plane [id$="-${part}-${number}"]`, chart)) {
        drawn.dataset.method = number;
        drawn.classList.add(part);
        if (part !== 'sign' && part !== 'number') continue;
        const link = document.createElementNS(drawn.namespaceURI, 'a');
        link.setAttribute('href', `#method-${number}`);
        link.setAttribute('aria-label', row.dataset.words);
        link.setAttribute(...(part === 'number' ? ['class', 'mark'] : ['tabindex', '-1']));
        drawn.replaceWith(link);
        link.append(drawn);
        watch(link, number, drawn);
      }
    }
  }

  // Sections open when one goes there, all at once by a button, and for print.
  const arrive = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const section = target.closest('details');
    if (section) section.open = true;
    target.scrollIntoView();
  };
  addEventListener('hashchange', arrive);
  if (location.hash) arrive();
  // A second click on the same link changes no hash.
  document.addEventListener('click', ({ target }) => {
    const link = target.closest('a[href^="#"]');
    if (link && link.getAttribute('href') === location.hash) arrive();
  });
  const set = (sections, open) => sections.forEach((each) => { each.open = open; });
  for (const place of all('.open-all')) {
    const sections = all(':scope > details', place.parentElement);
    place.append(button('Open all', () => set(sections, true)));
    place.append(button('Close all', () => set(sections, false)));
  }
  // Print is short; everything is printed on request.
  const whole = document.documentElement.classList;
  document.querySelector('button.whole').onclick = () => {
    whole.add('whole');
    print();
  };
  const opened = [];
  const unfold = (begins) => {
    if (!whole.contains('whole')) return;
    if (begins) opened.push(...all('details:not([open])'));
    set(begins ? opened : opened.splice(0), begins);
  };
  addEventListener('beforeprint', () => unfold(true));
  addEventListener('afterprint', () => {
    unfold(false);
    whole.remove('whole');
  });
  matchMedia('print').addEventListener('change', ({ matches }) => unfold(matches));

  // The way of the images: one step of all targets at a time.
  for (const table of all('table[data-way]')) {
    const steps = all('thead th', table).slice(1).map((head) => head.textContent);
    const last = steps.length - 1;
    const rows = [...table.tBodies[0].rows];
    const images = rows.map((row) => make('img', { src: all('.p', row)[0].src }));
    const frames = rows.map((row, k) =>
      make('div', {}, images[k], make('span', {}, row.cells[0].textContent)));
    const slider = make('input', { type: 'range', min: 0, max: last, value: 0 });
    const words = make('span');
    const go = (at) => {
      slider.value = at;
      words.textContent = `step ${steps[at]}`;
      slider.setAttribute('aria-valuetext', words.textContent);
      images.forEach((image, k) => {
        const { className, alt } = all('.p', rows[k])[at];
        Object.assign(image, { className, alt });
      });
    };
    let timer = 0;
    const stop = () => {
      timer = clearInterval(timer);
      play.textContent = 'Play';
    };
    const play = button('Play', () => {
      if (timer) return stop();
      if (slider.valueAsNumber === last) go(0);
      play.textContent = 'Stop';
      timer = setInterval(() => {
        go(slider.valueAsNumber + 1);
        if (slider.valueAsNumber === last) stop();
      }, 350);
    });
    slider.addEventListener('input', () => { stop(); go(slider.value); });
    go(0);
    const player = make('div', { className: 'player' });
    player.append(make('div', { className: 'frames' }, ...frames), play, make('label', {}, slider, words));
    table.closest('.scroll').before(player);
  }
})();
