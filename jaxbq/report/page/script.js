'use strict';
(() => {
  const all = (selector, base = document) => [...base.querySelectorAll(selector)];
  const make = (tag, text = '', name = '') => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const data = JSON.parse(document.getElementById('data').textContent);
  document.documentElement.classList.add('js');

  // Tables that sort by a heading: first the way that puts the best on top.
  for (const table of all('table[data-sortable]')) {
    const heads = all('thead th', table);
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = make('button', head.textContent);
      button.type = 'button';
      head.replaceChildren(button);
      button.addEventListener('click', () => {
        const first = head.dataset.first || 'ascending';
        const other = first === 'ascending' ? 'descending' : 'ascending';
        const way = head.getAttribute('aria-sort') === first ? other : first;
        heads.forEach((each) => each.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', way);
        const turn = way === 'ascending' ? 1 : -1;
        const value = (row) => row.cells[column].dataset.value;
        const compare = (a, b) => {
          const [x, y] = [value(a), value(b)];
          if (x === '' || y === '') return (x === '') - (y === '');
          return turn * (head.dataset.kind === 'number' ? x - y : x < y ? -1 : +(x > y));
        };
        body.append(...[...body.rows].sort(compare));
      });
    });
  }

  // One image, large, with all its numbers.
  const dialog = document.querySelector('dialog');
  const [title, large, answers, numbers] = ['h2', '.large .p', '.answers', '.numbers'].map((s) =>
    dialog.querySelector(s));
  let opener = null;
  let shown = null;

  const pairs = (columns, cells) => {
    const sections = new Map();
    columns.forEach(([heading, name, label], k) => {
      if (cells[k] === '–') return;
      if (!sections.has(heading)) {
        const section = make('section');
        section.append(make('h3', heading), make('dl'));
        sections.set(heading, section);
      }
      const line = make('div');
      const term = make('dt', label);
      term.title = `column ${name} of scores.csv`;
      line.append(term, make('dd', cells[k]));
      sections.get(heading).lastChild.append(line);
    });
    return [...sections.values()];
  };

  const bars = (outputs, target) => {
    const table = make('table');
    table.append(make('caption', 'What the network answers'));
    const body = table.createTBody();
    outputs.forEach((text, k) => {
      const row = body.insertRow();
      if (data.classes[k] === target) row.className = 'asked';
      const head = make('th', data.classes[k]);
      head.scope = 'row';
      const bar = make('i');
      bar.style.width = `${100 * Math.min(1, Math.max(0, Number(text.replace('−', '-')) || 0))}%`;
      const cell = make('td');
      cell.append(bar);
      row.append(head, cell, make('td', text));
    });
    return table;
  };

  const show = (image) => {
    shown = image;
    const address = getComputedStyle(image).backgroundImage;
    large.src = address.slice(address.indexOf('data:'), -2);
    large.alt = image.alt;
    answers.replaceChildren();
    numbers.replaceChildren();
    const row = image.dataset.row && data.rows[image.dataset.row];
    dialog.querySelector('.large').classList.toggle('alone', !row);
    if (!row) {
      title.textContent = image.alt;
      return;
    }
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

  dialog.querySelector('.close').addEventListener('click', () => dialog.close());
  dialog.querySelector('.previous').addEventListener('click', () => step(-1));
  dialog.querySelector('.next').addEventListener('click', () => step(1));
  dialog.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowLeft') step(-1);
    if (event.key === 'ArrowRight') step(1);
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener('close', () => opener && opener.focus());

  // Of every group of images one is reached by Tab, the others from it by the arrows.
  const beside = (image, group, key) => {
    const images = all('.p', group);
    const place = images.indexOf(image);
    const row = image.closest('tr');
    const line = row ? all('.p', row) : images;
    const next = row && (key === 'ArrowUp' ? row.previousElementSibling : row.nextElementSibling);
    const column = line.indexOf(image);
    return {
      ArrowLeft: () => images[place - 1],
      ArrowRight: () => images[place + 1],
      ArrowUp: () => next ? all('.p', next)[column] : images[place - line.length],
      ArrowDown: () => next ? all('.p', next)[column] : images[place + line.length],
      Home: () => line[0],
      End: () => line[line.length - 1],
    }[key]?.();
  };
  for (const group of all('[data-roving]')) {
    all('.p', group).forEach((image, k) => {
      image.tabIndex = k ? -1 : 0;
      image.title = image.alt;
      image.setAttribute('role', 'button');
      image.setAttribute('aria-haspopup', 'dialog');
    });
    const open = (image) => {
      opener = image;
      show(image);
      dialog.showModal();
    };
    group.addEventListener('click', (event) => {
      if (event.target.matches('.p')) open(event.target);
    });
    group.addEventListener('keydown', (event) => {
      if (!event.target.matches('.p')) return;
      if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault();
        open(event.target);
        return;
      }
      const next = beside(event.target, group, event.key);
      if (next) {
        event.preventDefault();
        event.target.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
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
    for (const [kind, act] of [['pointerenter', () => light(number, mark)],
      ['pointerleave', () => light(null)]]) {
      each.addEventListener(kind, act);
      each.addEventListener(kind === 'pointerenter' ? 'focusin' : 'focusout', act);
    }
  };
  for (const row of chart ? all('.legend tr[data-method]', chart) : []) {
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
        if (part === 'number') link.setAttribute('class', 'mark');
        else link.setAttribute('tabindex', '-1');
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
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.getAttribute('href') === location.hash) arrive();
  });
  for (const place of all('.open-all')) {
    for (const [text, open] of [['Open all', true], ['Close all', false]]) {
      const button = make('button', text);
      button.type = 'button';
      button.addEventListener('click', () => {
        all(':scope > details', place.parentElement).forEach((each) => { each.open = open; });
      });
      place.append(button);
    }
  }
  let closed = [];
  const unfold = () => {
    if (!closed.length) closed = all('details:not([open])');
    closed.forEach((each) => { each.open = true; });
  };
  const fold = () => {
    closed.forEach((each) => { each.open = false; });
    closed = [];
  };
  addEventListener('beforeprint', unfold);
  addEventListener('afterprint', fold);
  matchMedia('print').addEventListener('change', (event) => (event.matches ? unfold() : fold()));

  // The way of the images: one step of all targets at a time.
  for (const table of all('table[data-way]')) {
    const steps = all('thead th', table).slice(1).map((head) => head.textContent);
    const rows = [...table.tBodies[0].rows].map((row) => all('.p', row));
    const frames = make('div', '', 'frames');
    const images = rows.map((row, k) => {
      const image = row[0].cloneNode();
      ['tabindex', 'role', 'title', 'aria-haspopup'].forEach((name) => image.removeAttribute(name));
      const frame = make('div');
      frame.append(image, make('span', table.tBodies[0].rows[k].cells[0].textContent));
      frames.append(frame);
      return image;
    });
    const slider = make('input');
    Object.assign(slider, { type: 'range', min: 0, max: steps.length - 1, value: 0 });
    const label = make('label');
    const words = make('span');
    label.append(slider, words);
    const play = make('button', 'Play');
    play.type = 'button';
    const go = () => {
      words.textContent = `step ${steps[slider.value]}`;
      slider.setAttribute('aria-valuetext', words.textContent);
      images.forEach((image, k) => {
        image.className = rows[k][slider.value].className;
        image.alt = rows[k][slider.value].alt;
      });
    };
    let timer = 0;
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      play.textContent = 'Play';
    };
    play.addEventListener('click', () => {
      if (timer) return stop();
      if (Number(slider.value) === steps.length - 1) slider.value = 0;
      go();
      play.textContent = 'Stop';
      timer = setInterval(() => {
        slider.value = Number(slider.value) + 1;
        go();
        if (Number(slider.value) === steps.length - 1) stop();
      }, 350);
    });
    slider.addEventListener('input', () => { stop(); go(); });
    go();
    const player = make('div', '', 'player');
    player.append(frames, play, label);
    table.closest('.scroll').before(player);
  }
})();
